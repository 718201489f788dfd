package foreign

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

const root = "../.."

// objects are manifests by kind, namespace and name.
type objects map[string]map[string]any

// add reads YAML documents, of which no two are the same object.
func (o objects) add(t *testing.T, text string) {
	t.Helper()
	for _, document := range regexp.MustCompile(`(?m)^---$`).Split(text, -1) {
		var object map[string]any
		require.NoError(t, yaml.Unmarshal([]byte(document), &object), document)
		if len(object) == 0 {
			continue
		}
		metadata := object["metadata"].(map[string]any)
		namespace, _ := metadata["namespace"].(string)
		key := strings.Join([]string{object["kind"].(string), namespace, metadata["name"].(string)}, " ")
		require.NotContains(t, o, key)
		o[key] = object
	}
}

// configSuffix is the hash of the configuration in its ConfigMap's name. Both have one, so that a change restarts the scheduler, and
// each counts it in its own way.
var configSuffix = regexp.MustCompile(`(phalanx-scheduler-config)-[a-z0-9]+`)

// kustomized renders folders of the manifests, which may have objects in common.
func kustomized(t *testing.T, folders ...string) objects {
	t.Helper()
	found := objects{}
	for _, folder := range folders {
		rendered, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(root, "manifests", folder))
		require.NoError(t, err)
		text, err := rendered.AsYaml()
		require.NoError(t, err)
		one := objects{}
		one.add(t, configSuffix.ReplaceAllString(string(text), "$1"))
		for key, object := range one {
			found[key] = object
		}
	}
	return found.parsed(t)
}

// parsed puts the configuration itself in the place of its text, which differs in comments and order.
func (o objects) parsed(t *testing.T) objects {
	t.Helper()
	if config, ok := o["ConfigMap phalanx-system phalanx-scheduler-config"]; ok {
		var parsed map[string]any
		require.NoError(t, yaml.Unmarshal([]byte(config["data"].(map[string]any)["config.yaml"].(string)), &parsed))
		config["data"] = parsed
	}
	return o
}

func load(t *testing.T) *chart.Chart {
	t.Helper()
	loaded, err := loader.LoadDir(filepath.Join(root, "manifests", "chart"))
	require.NoError(t, err)
	require.NoError(t, loaded.Validate())
	return loaded
}

// helmed renders the chart with values in YAML. Its CRDs are part of it unless they are skipped, as with --skip-crds.
func helmed(t *testing.T, values string, skipCRDs bool) (objects, error) {
	t.Helper()
	loaded := load(t)
	given, err := common.ReadValues([]byte(values))
	require.NoError(t, err)
	all, err := util.ToRenderValues(loaded, given, common.ReleaseOptions{Name: "phalanx", Namespace: "kube-system", IsInstall: true}, nil)
	if err != nil {
		return nil, err
	}
	files, err := engine.Render(loaded, all)
	if err != nil {
		return nil, err
	}
	found := objects{}
	for name, text := range files {
		if !strings.HasSuffix(name, ".tpl") {
			found.add(t, configSuffix.ReplaceAllString(text, "$1"))
		}
	}
	if !skipCRDs {
		for _, crd := range loaded.CRDObjects() {
			found.add(t, string(crd.File.Data))
		}
	}
	return found.parsed(t), nil
}

func TestTheChartIsTheManifests(t *testing.T) {
	for name, test := range map[string]struct {
		values   string
		skipCRDs bool
		folders  []string
	}{
		"with nothing said, it is default":       {folders: []string{"default"}},
		"with one replica, it is single-replica": {values: `scheduler: {replicas: 1}`, folders: []string{"single-replica"}},
		"with the names that operators hard-code and without CRDs, it is drop-in": {
			values: `
scheduler:
  profiles:
  - {schedulerName: phalanx, pluginConfig: [{name: Gang, args: {scheduleTimeoutSeconds: 60, repairTimeout: 5m, afterRepair: None}}]}
  - {schedulerName: volcano}
  - {schedulerName: scheduler-plugins-scheduler}`,
			skipCRDs: true, folders: []string{"drop-in"},
		},
		"without the reporter and CRDs, it is base":       {values: `reporter: {enabled: false}`, skipCRDs: true, folders: []string{"base"}},
		"with CDI, its reporter is reporter-cdi":          {values: `reporter: {driver: cdi}`, folders: []string{"default", "reporter-cdi"}},
		"with the host's driver, it is reporter-hostpath": {values: `reporter: {driver: hostPath}`, folders: []string{"default", "reporter-hostpath"}},
		"with monitoring, it is that, too":                {values: `monitoring: {enabled: true}`, folders: []string{"default", "monitoring"}},
		"with admission, it is that, too":                 {values: `admission: {enabled: true}`, folders: []string{"default", "admission"}},
	} {
		t.Run(name, func(t *testing.T) {
			have, err := helmed(t, test.values, test.skipCRDs)
			require.NoError(t, err)
			want := kustomized(t, test.folders...)
			for key := range want {
				assert.Equal(t, want[key], have[key], key)
			}
			for key := range have {
				assert.Contains(t, want, key)
			}
		})
	}
}

func TestValuesReachTheObjects(t *testing.T) {
	have, err := helmed(t, `
image: {registry: registry.example.com/ai, tag: v9}
scheduler: {goMemoryLimit: 7GiB, resources: {limits: {memory: 8Gi}}, nodeSelector: {role: infra}, tolerations: [{key: infra, operator: Exists}]}
reporter: {runtimeClassName: gpu, nodeSelector: {gpu: here}}
networkPolicy: {apiServerCIDRs: [192.0.2.10/32, 2001:db8::1/128]}`, true)
	require.NoError(t, err)
	at := func(key string, path ...any) any {
		t.Helper()
		require.Contains(t, have, key)
		var value any = map[string]any(have[key])
		for _, step := range path {
			switch step := step.(type) {
			case string:
				value = value.(map[string]any)[step]
			case int:
				value = value.([]any)[step]
			}
		}
		return value
	}
	const scheduler, reporter = "Deployment phalanx-system phalanx-scheduler", "DaemonSet phalanx-reporter phalanx-reporter"
	pod := func(key string, path ...any) any {
		return at(key, append([]any{"spec", "template", "spec"}, path...)...)
	}
	assert.Equal(t, "registry.example.com/ai/phalanx-scheduler:v9", pod(scheduler, "containers", 0, "image"))
	assert.Equal(t, "registry.example.com/ai/phalanx-reporter:v9", pod(reporter, "containers", 0, "image"))
	assert.Equal(t, "7GiB", pod(scheduler, "containers", 0, "env", 0, "value"))
	assert.Equal(t, map[string]any{"limits": map[string]any{"memory": "8Gi"}}, pod(scheduler, "containers", 0, "resources"))
	assert.Equal(t, map[string]any{"role": "infra"}, pod(scheduler, "nodeSelector"))
	assert.Equal(t, "infra", pod(scheduler, "tolerations", 0, "key"))
	assert.Equal(t, "gpu", pod(reporter, "runtimeClassName"))
	assert.Equal(t, map[string]any{"gpu": "here"}, pod(reporter, "nodeSelector"))
	for _, name := range []string{"phalanx-system phalanx-scheduler", "phalanx-reporter phalanx-reporter"} {
		assert.Equal(t, "192.0.2.10/32", at("NetworkPolicy "+name, "spec", "egress", 0, "to", 0, "ipBlock", "cidr"))
		assert.Len(t, at("NetworkPolicy "+name, "spec", "egress", 0, "to"), 2)
		assert.NotNil(t, at("NetworkPolicy "+name, "spec", "egress", 1, "to", 0, "podSelector"))
	}
}

func TestValuesThatNobodyReadsAreRefused(t *testing.T) {
	for name, test := range map[string]struct{ values, complaint string }{
		"a word with a typing error":      {`scheduler: {replica: 3}`, "replica"},
		"a driver that there is not":      {`reporter: {driver: magic}`, "driver"},
		"no profile":                      {`scheduler: {profiles: []}`, "profiles"},
		"the default scheduler's name":    {`scheduler: {profiles: [{schedulerName: default-scheduler}]}`, "schedulerName"},
		"a tag that may be another later": {`image: {tag: latest}`, "tag"},
		"an address without its length":   {`networkPolicy: {apiServerCIDRs: [192.0.2.10]}`, "apiServerCIDRs"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := helmed(t, test.values, false)
			require.ErrorContains(t, err, test.complaint)
		})
	}
}
