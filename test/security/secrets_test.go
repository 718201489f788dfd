package security

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestWhatStandsInPodsTurnsUpNowhere(t *testing.T) {
	r := rehearse(t)
	log, err := os.ReadFile(r.scheduler.LogPath())
	require.NoError(t, err)
	require.Contains(t, string(log), "volcano-0", "a log that tells of the rehearsal")
	assertNoCanary(t, "log", string(log))
	for _, metrics := range r.metrics {
		assertNoCanary(t, "metrics", metrics)
	}
	events, err := r.Client.EventsV1().Events(metav1.NamespaceAll).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.NotEmpty(t, events.Items)
	for _, e := range events.Items {
		assertNoCanary(t, "event "+e.Reason, e.String())
	}
	groups, err := r.Dynamic.Resource(volcanoGroups).Namespace(metav1.NamespaceAll).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.NotEmpty(t, groups.Items)
	for _, group := range groups.Items {
		delete(group.Object, "metadata") // where it was put
		text, err := group.MarshalJSON()
		require.NoError(t, err)
		assertNoCanary(t, "PodGroup", string(text))
	}
}

func assertNoCanary(t *testing.T, where, text string) {
	t.Helper()
	if i := strings.Index(text, canary); i >= 0 {
		t.Errorf("the %s shows what stands in pods: %s", where, text[max(0, i-200):min(len(text), i+100)])
	}
}

// TestSeriesDoNotGrowWithGangs compares the metrics before and after a round of six gangs with new names. What happens for the first time,
// some kind of event for one, begins a series.
func TestSeriesDoNotGrowWithGangs(t *testing.T) {
	r := rehearse(t)
	before, after := series(r.metrics[len(r.metrics)-2]), series(r.metrics[len(r.metrics)-1])
	require.Greater(t, len(before), 500)
	var begun []string
	for name := range after {
		// The core measures plugins now and then, by chance: when a series of those begins says nothing.
		if !before[name] && !strings.HasPrefix(name, "scheduler_plugin_execution_duration_seconds") {
			begun = append(begun, name)
		}
		assert.NotRegexp(t, `(volcano|coscheduling|native)-[01]|"(first|second|short)"|[{,](pod|gang|uid|namespace)=`, name)
	}
	t.Logf("%d series, of which %d began in the last round", len(after), len(begun))
	assert.Less(t, len(begun), 6, strings.Join(begun, "\n"))
}

// bucket is what the series of one histogram differ in.
var bucket = regexp.MustCompile(`_(bucket|sum|count)\b|,?le="[^"]*"`)

// series are the names and labels of metrics, a histogram counted once.
func series(metrics string) map[string]bool {
	all := map[string]bool{}
	for line := range strings.Lines(metrics) {
		if !strings.HasPrefix(line, "#") {
			name, _, _ := cutLast(line)
			all[bucket.ReplaceAllString(name, "")] = true
		}
	}
	return all
}

// cutLast cuts a sample into its series and its value.
func cutLast(line string) (series, value string, ok bool) {
	i := strings.LastIndex(strings.TrimSpace(line), " ")
	if i < 0 {
		return line, "", false
	}
	return line[:i], strings.TrimSpace(line[i:]), true
}

func TestOurPodsGetTokensThatEndAndNoOtherSecrets(t *testing.T) {
	for _, folder := range folders(t) {
		t.Run(folder, func(t *testing.T) {
			for _, object := range render(t, folder) {
				switch object.kind {
				case "Secret":
					t.Error("a Secret")
				case "ServiceAccount":
					account := parse[v1.ServiceAccount](t, object.text)
					require.NotNil(t, account.AutomountServiceAccountToken)
					assert.False(t, *account.AutomountServiceAccountToken)
				case "Deployment":
					assertTokenAlone(t, parse[appsv1.Deployment](t, object.text).Spec.Template.Spec)
				case "DaemonSet":
					assertTokenAlone(t, parse[appsv1.DaemonSet](t, object.text).Spec.Template.Spec)
				case "StatefulSet", "Job", "CronJob", "Pod":
					t.Errorf("a %s, which nobody looks at", object.kind)
				}
			}
		})
	}
}

func assertTokenAlone(t *testing.T, pod v1.PodSpec) {
	t.Helper()
	require.NotNil(t, pod.AutomountServiceAccountToken)
	assert.False(t, *pod.AutomountServiceAccountToken)
	tokens := 0
	for _, volume := range pod.Volumes {
		assert.Nil(t, volume.Secret)
		if volume.Projected == nil {
			continue
		}
		for _, source := range volume.Projected.Sources {
			assert.Nil(t, source.Secret)
			if source.ServiceAccountToken != nil {
				tokens++
				assert.LessOrEqual(t, *source.ServiceAccountToken.ExpirationSeconds, int64(3600))
			}
		}
	}
	assert.Equal(t, 1, tokens)
	for _, container := range pod.Containers {
		assert.Empty(t, container.EnvFrom)
		for _, env := range container.Env {
			assert.True(t, env.ValueFrom == nil || env.ValueFrom.SecretKeyRef == nil, env.Name)
		}
	}
}

// patterns are those of keys and tokens. Written so that this file is none.
var patterns = regexp.MustCompile(strings.Join([]string{
	`-----BEGIN [A-Z ]*PRIVATE ` + `KEY-----`,
	`\bAKIA[0-9A-Z]{16}\b`,
	`\bgh[pousr]_[A-Za-z0-9]{36,}`,
	`\bgithub_pat_[A-Za-z0-9_]{40,}`,
	`\bxox[abprs]-[A-Za-z0-9-]{10,}`,
	`\beyJ[A-Za-z0-9_-]{15,}\.eyJ[A-Za-z0-9_-]{15,}\.`,
	`\bnvapi-[A-Za-z0-9_-]{40,}`,
	`\bhf_[A-Za-z0-9]{30,}`,
}, "|"))

func TestTheTreeHoldsNoKeys(t *testing.T) {
	for text, isKey := range map[string]bool{
		"-----BEGIN RSA PRIVATE " + "KEY-----": true, "-----BEGIN CERTIFICATE-----": false,
		"AKIA" + "ABCDEFGHIJKLMNOP": true, "eyJhbGciOiJSUzI1NiIs" + "." + "eyJhdWQiOlsiaHR0cHM6" + ".x": true, "key": false,
	} {
		assert.Equal(t, isKey, patterns.MatchString(text), text)
	}
	for _, name := range tracked(t, "*") {
		info, err := os.Lstat(filepath.Join(root(t), name))
		require.NoError(t, err)
		if !info.Mode().IsRegular() { // a link to what is looked at under its own name
			continue
		}
		content, err := os.ReadFile(filepath.Join(root(t), name))
		require.NoError(t, err)
		if found := patterns.Find(content); found != nil && !bytes.Contains(content, []byte("PRIVATE ` + `KEY")) {
			t.Errorf("%s has a key: %.20s", name, found)
		}
	}
}

// TestNobodyIsTrustedWithoutACertificate looks for clients that take any certificate, outside of tests: those talk to endpoints whose
// certificate was made a moment ago.
func TestNobodyIsTrustedWithoutACertificate(t *testing.T) {
	files := 0
	for _, name := range tracked(t, "*.go") {
		if strings.HasPrefix(name, "test/") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		files++
		parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root(t), name), nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		ast.Inspect(parsed, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok && (id.Name == "InsecureSkipVerify" || id.Name == "Insecure") {
				t.Errorf("%s has %s", name, id.Name)
			}
			return true
		})
	}
	require.Greater(t, files, 100)
}

// tracked are the repository's files that git knows.
func tracked(t *testing.T, pattern string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "git", "-C", root(t), "ls-files", "-z", "--", pattern).Output()
	require.NoError(t, err)
	names := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	require.NotEmpty(t, names)
	return names
}
