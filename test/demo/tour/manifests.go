package tour

import (
	"bufio"
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/phalanx-scheduler/phalanx/test/controlplane"
	"github.com/phalanx-scheduler/phalanx/test/demo/manifest"
	"github.com/phalanx-scheduler/phalanx/test/demo/screen"
	"github.com/phalanx-scheduler/phalanx/test/oracle"
)

// ManifestsFolder is where people find the manifests of the acts, from the root of the repository.
const ManifestsFolder = "test/demo/tour/manifests"

//go:embed manifests
var manifests embed.FS

// gang is a gang of a manifest: a PodGroup and the Job that makes its members.
type gang struct {
	key     oracle.Gang
	dialect manifest.Dialect
	members int
	gpus    int64
	job     string
}

// read returns the gangs of a manifest, in the order of their PodGroups.
func read(raw []byte) ([]gang, error) {
	var gangs []gang
	byKey := map[oracle.Gang]int{}
	var jobs []*unstructured.Unstructured
	reader := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(raw)))
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		asJSON, err := yaml.ToJSON(document)
		if err != nil {
			return nil, err
		}
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(asJSON); err != nil {
			return nil, err
		}
		if object.GetKind() == "Job" {
			jobs = append(jobs, object)
			continue
		}
		dialect, err := manifest.DialectOf(object)
		if err != nil {
			return nil, err
		}
		g := gang{
			key:     oracle.Gang{Dialect: dialect.Name, Namespace: metav1.NamespaceDefault, Name: object.GetName()},
			dialect: dialect, members: manifest.MinMember(object),
		}
		byKey[g.key] = len(gangs)
		gangs = append(gangs, g)
	}
	for _, object := range jobs {
		job := &batchv1.Job{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, job); err != nil {
			return nil, fmt.Errorf("job %s: %w", object.GetName(), err)
		}
		key, perPod := membership(job)
		i, ok := byKey[key]
		if !ok {
			return nil, fmt.Errorf("the pods of job %s name no gang of the manifest", job.Name)
		}
		gangs[i].job, gangs[i].gpus = job.Name, perPod*int64(gangs[i].members)
	}
	return gangs, nil
}

// membership returns the gang that the pods of a job name, and how many GPUs each asks for.
func membership(job *batchv1.Job) (key oracle.Gang, gpusPerPod int64) {
	template := job.Spec.Template
	template.Namespace = metav1.NamespaceDefault
	key, _ = oracle.GangOf(&corev1.Pod{ObjectMeta: template.ObjectMeta, Spec: template.Spec})
	for _, c := range template.Spec.Containers {
		gpus := c.Resources.Limits[controlplane.ResourceGPU]
		gpusPerPod += gpus.Value()
	}
	return key, gpusPerPod
}

// excerpt returns the lines of a manifest that have a remark behind them: those that matter for what is shown.
func excerpt(raw []byte) []screen.Line {
	var words, remarks []string
	width := 0
	for _, line := range strings.Split(string(raw), "\n") {
		text, remark, hasRemark := strings.Cut(line, " # ")
		if text = strings.TrimSpace(text); !hasRemark || text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		words, remarks = append(words, text), append(remarks, remark)
		width = max(width, len(text))
	}
	lines := make([]screen.Line, len(words))
	for i := range words {
		lines[i] = screen.Line{{Text: indent + "  "}, {Text: fmt.Sprintf("%-*s", width, words[i]), Style: screen.Cyan}, {Text: "  # " + remarks[i], Style: screen.Dim}}
	}
	return lines
}
