import { execFile } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { ScaledObject } from '@kubernetes-models/keda/keda.sh/v1alpha1/ScaledObject'
import { TriggerAuthentication } from '@kubernetes-models/keda/keda.sh/v1alpha1/TriggerAuthentication'
import { Deployment } from 'kubernetes-models/apps/v1/Deployment'
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1/PodDisruptionBudget'
import { ConfigMap } from 'kubernetes-models/v1/ConfigMap'
import { Namespace } from 'kubernetes-models/v1/Namespace'
import { Secret } from 'kubernetes-models/v1/Secret'
import { Service } from 'kubernetes-models/v1/Service'
import t from 'tap'
import { parse, parseAllDocuments } from 'yaml'
import { GroupLag, Lag } from '../../schemas/lag.ts'
import { loadConfig } from '../../src/config.ts'
import shop from '../../src/shop/topology.ts'
import { settingFaults } from '../fixtures/settings.ts'

const run = promisify(execFile)
const root = fileURLToPath(new URL('../..', import.meta.url))
const folder = join(root, 'deploy/kubernetes')
const read = (path: string) => readFile(join(root, path), 'utf8')

const kustomization = parse(await read('deploy/kubernetes/kustomization.yaml')) as {
  namespace: string
  resources: string[]
  images: { name: string }[]
}
const texts = await Promise.all(kustomization.resources.map((name) => read(`deploy/kubernetes/${name}`)))
const documents = texts.flatMap((text) => parseAllDocuments(text).map((document) => document.toJS() as Resource))

interface Resource {
  apiVersion: string
  kind: string
  metadata: { name: string }
}
/** The constructor of a kind checks what the kind's schema says. */
const kinds: Record<string, { new (data: never): { validate: () => void }; apiVersion: string; kind: string }> = {
  ConfigMap,
  Deployment,
  Namespace,
  PodDisruptionBudget,
  ScaledObject,
  Secret,
  Service,
  TriggerAuthentication
}
const modules = (kind: string, apiVersion: string) =>
  apiVersion.startsWith('keda.sh')
    ? `@kubernetes-models/keda/${apiVersion}/${kind}`
    : `kubernetes-models/${apiVersion}/${kind}`

// biome-ignore lint/suspicious/noExplicitAny: their shapes are what the first test holds
const named = (kind: string, name: string): any => {
  const found = documents.find((one) => one.kind === kind && one.metadata.name === name)
  if (found === undefined) throw new Error(`there is no ${kind} ${name}`)
  return found
}
const deployments = ['headgate-gateway', 'headgate-consumers'].map((name) => named('Deployment', name))

/** What the container of a Deployment finds in its environment, beside what the image sets. */
function environmentOf(deployment: ReturnType<typeof named>): Record<string, string> {
  const [container] = deployment.spec.template.spec.containers
  const env: Record<string, string> = { HOST: '0.0.0.0', PORT: '3000' }
  for (const { configMapRef, secretRef } of container.envFrom) {
    if (configMapRef) Object.assign(env, named('ConfigMap', configMapRef.name).data)
    if (secretRef) Object.assign(env, named('Secret', secretRef.name).stringData)
  }
  for (const { name, value } of container.env) env[name] = value
  return env
}

t.test('every file is among the resources, and every resource is what its kind allows', async (t) => {
  const files = (await readdir(folder)).filter((name) => name !== 'kustomization.yaml')
  t.same(new Set(kustomization.resources), new Set(files))
  for (const { kind, apiVersion, ...rest } of documents) {
    const Kind = kinds[kind]
    t.equal(apiVersion, Kind?.apiVersion, kind)
    if (Kind !== undefined) t.doesNotThrow(() => new Kind(rest as never).validate(), `${kind} ${rest.metadata.name}`)
  }
})

t.test('no name in them is misspelt: as literals of their types, the compiler finds nothing unknown', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'hg-kubernetes-'))
  t.teardown(() => rm(dir, { recursive: true, force: true }))
  await symlink(join(root, 'node_modules'), join(dir, 'node_modules'))
  await writeFile(join(dir, 'package.json'), '{"type":"module"}')
  const literals = documents.map((document, n) => {
    const { kind, apiVersion } = document
    const type = `import type { I${kind} as T${n} } from '${modules(kind, apiVersion)}'`
    return `${type}\nexport const r${n}: T${n} = ${JSON.stringify(document)}\n`
  })
  const misspelt = `export const wrong: T0 = ${JSON.stringify({ ...documents[0], metadata: { nam: 'x' } })}\n`
  await writeFile(join(dir, 'right.ts'), literals.join(''))
  await writeFile(join(dir, 'wrong.ts'), (literals[0] ?? '') + misspelt)
  const compilerOptions = {
    strict: true,
    noEmit: true,
    module: 'nodenext',
    target: 'esnext',
    skipLibCheck: true,
    types: []
  }
  await writeFile(join(dir, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['*.ts'] }))
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  // Through `env`: what tap puts into NODE_OPTIONS keeps the compiler from starting.
  const compile = ['-u', 'NODE_OPTIONS', process.execPath, tsc, '-p', dir, '--pretty', 'false']
  const { stdout } = await run('env', compile, { cwd: dir }).catch((error) => error)
  const lines = stdout.split('\n').filter((line: string) => line.includes('error TS'))
  t.same(
    lines.filter((line: string) => !line.startsWith('wrong.ts')),
    []
  )
  t.ok(
    lines.some((line: string) => line.startsWith('wrong.ts') && line.includes('"nam"')),
    'a misspelt name is found'
  )
})

t.test('what refers to something finds it', async (t) => {
  const labelsOf = (deployment: ReturnType<typeof named>) => deployment.spec.template.metadata.labels
  const selects = (selector: Record<string, string>) =>
    deployments.filter((one) => Object.entries(selector).every(([name, value]) => labelsOf(one)[name] === value))
  for (const deployment of deployments) {
    const { containers, volumes, topologySpreadConstraints } = deployment.spec.template.spec
    const [{ image, volumeMounts, ports, ...probes }] = containers
    t.ok(kustomization.images.some(({ name }) => name === image))
    t.same(selects(deployment.spec.selector.matchLabels), [deployment])
    t.same(selects(topologySpreadConstraints[0].labelSelector.matchLabels), [deployment])
    t.same(selects(named('PodDisruptionBudget', deployment.metadata.name).spec.selector.matchLabels), [deployment])
    const [{ name, secret }] = volumes
    t.equal(volumeMounts[0].name, name)
    const { API_KEYS_FILE, PORT, ADMIN_PORT } = environmentOf(deployment)
    const [file = ''] = Object.keys(named('Secret', secret.secretName).stringData)
    t.equal(API_KEYS_FILE, `${volumeMounts[0].mountPath}/${file}`)
    t.same(
      ports.map(({ name, containerPort }: { name: string; containerPort: number }) => [name, String(containerPort)]),
      [
        ['http', PORT],
        ['admin', ADMIN_PORT]
      ]
    )
    for (const probe of ['startupProbe', 'readinessProbe', 'livenessProbe']) t.equal(probes[probe].httpGet.port, 'http')
  }
  for (const [name, port] of [
    ['headgate', 'http'],
    ['headgate-admin', 'admin']
  ] as const) {
    const { selector, ports } = named('Service', name).spec
    t.equal(ports[0].targetPort, port)
    t.equal(selects(selector).length, 1)
  }
})

t.test('every setting is one of the gateway, and together they are enough to start', async (t) => {
  const keys = JSON.parse(named('Secret', 'headgate-keys').stringData['keys.json'])
  const [gateway, consumers] = deployments.map(environmentOf)
  for (const env of [gateway, consumers]) {
    t.same(settingFaults(env ?? {}), [])
    t.same(settingFaults({ ...env, API_KEYS_FILE: '', API_KEYS: JSON.stringify(keys) }), [])
  }
  t.same([gateway?.CONSUMERS, consumers?.CONSUMERS], ['off', 'on'])
  await t.resolves(read(gateway?.TOPOLOGY ?? ''))
})

t.test('the probes and the scaler ask what the gateway answers', async (t) => {
  const { paths } = parse(await read('openapi.yaml'))
  for (const deployment of deployments) {
    const [{ startupProbe, readinessProbe, livenessProbe }] = deployment.spec.template.spec.containers
    t.same(
      [startupProbe, readinessProbe, livenessProbe].map(({ httpGet }) => httpGet.path),
      ['/livez', '/readyz', '/livez']
    )
    for (const { httpGet } of [startupProbe, readinessProbe]) t.same(paths[httpGet.path].get.security, [])
  }
  const { scaleTargetRef, triggers } = named('ScaledObject', 'headgate-consumers').spec
  t.ok(deployments.some(({ metadata, spec }) => metadata.name === scaleTargetRef.name && spec.replicas === undefined))
  const groups = Array.from(shop.streams.values()).flatMap(({ groups }) => Array.from(groups.keys()))
  for (const { metadata, authenticationRef } of triggers) {
    const url = new URL(metadata.url)
    const [service = '', namespace] = url.hostname.split('.')
    t.equal(named('Service', service).spec.ports[0].port, Number(url.port))
    t.equal(namespace, kustomization.namespace)
    t.ok(paths[url.pathname].get)
    const [, list = '', group = '', field = ''] =
      /^(\w+)\.#\(group=="(\w+)"\)\.(\w+)$/.exec(metadata.valueLocation) ?? []
    t.ok(list in Lag.properties && field in GroupLag.properties && groups.includes(group), metadata.valueLocation)
    const [{ parameter, name, key }] = named('TriggerAuthentication', authenticationRef.name).spec.secretTargetRef
    t.equal(parameter, 'token')
    t.ok(key in named('Secret', name).stringData)
  }
})

t.test('a pod has longer to end than the gateway takes', async (t) => {
  for (const deployment of deployments) {
    const { terminationGracePeriodSeconds, containers } = deployment.spec.template.spec
    const { DRAIN_DELAY_MS, SHUTDOWN_GRACE_MS } = loadConfig(environmentOf(deployment))
    const preStopMs = 1_000 * (containers[0].lifecycle?.preStop.sleep.seconds ?? 0)
    t.ok(terminationGracePeriodSeconds * 1_000 >= preStopMs + DRAIN_DELAY_MS + SHUTDOWN_GRACE_MS + 10_000)
  }
})

t.test('a pod may do nothing that the gateway does not need', async (t) => {
  for (const deployment of deployments) {
    const { enableServiceLinks, automountServiceAccountToken, securityContext, containers } =
      deployment.spec.template.spec
    t.same([enableServiceLinks, automountServiceAccountToken, securityContext.runAsNonRoot], [false, false, true])
    t.match(containers[0].securityContext, {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] }
    })
    t.ok(containers[0].resources.limits.memory)
  }
})
