package gang

import (
	"fmt"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The annotations by which a PodGroup of any dialect, or its pods, state a wish in Phalanx's own words. A level is its name
// or its node label key. What is said here of these and the others is what docs/annotations.md says.
const (
	// RequiredTopologyKey is an annotation of PodGroups and pods: the level of which one domain must hold all members.
	RequiredTopologyKey = KeyPrefix + "required-topology"
	// PreferredTopologyKey is an annotation of PodGroups and pods: the level of which one domain should hold all members, or as few as can be.
	PreferredTopologyKey = KeyPrefix + "preferred-topology"
	// SliceSizeKey is an annotation of PodGroups and pods: so many members each, in the order of their ranks, share a domain.
	SliceSizeKey = KeyPrefix + "slice-size"
	// SliceTopologyKey is an annotation of PodGroups and pods: the level of these domains.
	SliceTopologyKey = KeyPrefix + "slice-topology"
)

// GPUReportKey is an annotation of nodes: what its reporter tells of the GPUs, in the format of package gpu.
const GPUReportKey = KeyPrefix + "gpu-report"

// GPUCliqueKey is a label of nodes: the multi-node NVLink domain of its GPUs and the clique in it; nodes with the same value reach each
// other over NVLink.
const GPUCliqueKey = KeyPrefix + "gpu-clique"

// The annotations by which a pod, or its PodGroup, says what GPUs it needs.
const (
	// GPUMemoryKey is an annotation of PodGroups and pods: how much memory must be free on each GPU.
	GPUMemoryKey = KeyPrefix + "gpu-memory"
	// GPUProductKey is an annotation of PodGroups and pods: the products of which each GPU must be one.
	GPUProductKey = KeyPrefix + "gpu-product"
	// GPUCapabilityKey is an annotation of PodGroups and pods: the earliest compute capability that each GPU may have.
	GPUCapabilityKey = KeyPrefix + "gpu-compute-capability"
	// GPULinkKey is an annotation of PodGroups and pods: how the GPUs of a container must or should be linked.
	GPULinkKey = KeyPrefix + "gpu-link"
)

// words are the annotations in which one project states a wish; "" where it cannot say that.
type words struct {
	required, preferred, sliceSize, slice string
}

var (
	ours = words{
		required: RequiredTopologyKey, preferred: PreferredTopologyKey,
		sliceSize: SliceSizeKey, slice: SliceTopologyKey,
	}
	kueues = words{
		required: "kueue.x-k8s.io/podset-required-topology", preferred: "kueue.x-k8s.io/podset-preferred-topology",
		sliceSize: "kueue.x-k8s.io/podset-slice-size", slice: "kueue.x-k8s.io/podset-slice-required-topology",
	}
	kais = words{required: "kai.scheduler/topology-required-placement", preferred: "kai.scheduler/topology-preferred-placement"}
)

// Volcano states a wish in a mode and a tier. Its controller reads them as annotations; KubeRay writes labels, and calls the
// tier differently.
const (
	volcanoModeKey        = "volcano.sh/network-topology-mode"
	volcanoTierKey        = "volcano.sh/network-topology-highest-tier"
	volcanoTierAllowedKey = "volcano.sh/network-topology-highest-tier-allowed"
)

// StatedWish returns what a PodGroup or a pod wishes: what Phalanx's own annotations say, else field, which is what it says
// in fields of its dialect, else what annotations of Kueue, of KAI or of Volcano say. The first that says anything is
// taken whole: a required level of one is not joined with a preferred level of another.
//
// complaint is about the first wrong value, and names its annotation; nothing is wished then. A wrong value is not passed
// over where another overrules it: somebody meant something by it.
func StatedWish(object metav1.Object, field Wish) (wish Wish, complaint string) {
	r := reading{labels: object.GetLabels(), annotations: object.GetAnnotations()}
	for _, stated := range []Wish{r.wish(ours), field, r.wish(kueues), r.wish(kais), r.volcanos()} {
		if wish.IsZero() {
			wish = stated
		}
	}
	if r.complaint != "" {
		return Wish{}, r.complaint
	}
	return wish, ""
}

// reading reads the labels and annotations of one object and keeps the first complaint.
type reading struct {
	labels, annotations map[string]string
	complaint           string
}

func (r *reading) complain(sentence string) {
	if r.complaint == "" {
		r.complaint = sentence
	}
}

func (r *reading) wish(in words) Wish {
	wish := Wish{Required: r.level(in.required), Preferred: r.level(in.preferred)}
	slice := r.level(in.slice)
	size, hasSize := r.annotation(in.sliceSize)
	switch {
	case hasSize:
		wish.SliceSize = r.count("annotation "+in.sliceSize, size)
		if _, hasLevel := r.annotation(in.slice); !hasLevel {
			r.complain(fmt.Sprintf("annotation %s is %s: it needs annotation %s beside it", in.sliceSize, quote(size), in.slice))
		}
		wish.Slice = slice
		wish.Slice.Source = fmt.Sprintf("%s of %s %s", slice.Source, in.sliceSize, quote(size))
	case slice != Level{}:
		r.complain(fmt.Sprintf("annotation %s is %s: it needs annotation %s beside it", in.slice, quote(slice.Name), in.sliceSize))
	}
	return wish
}

// annotation finds nothing where a project has no word for it.
func (r *reading) annotation(key string) (string, bool) {
	value, ok := r.annotations[key]
	return value, ok && key != ""
}

func (r *reading) level(key string) Level {
	value, ok := r.annotation(key)
	if !ok {
		return Level{}
	}
	level, complaint := LevelNamed("annotation "+key, value)
	if complaint != "" {
		r.complain(complaint)
	}
	return level
}

// volcanos reads a mode and a tier. Either may be missing: hard is the default, and a mode without a tier asks for no level.
func (r *reading) volcanos() Wish {
	level := Level{}
	if source, value, ok := r.find(volcanoTierKey, volcanoTierAllowedKey); ok {
		level = LevelOfTier(source, strconv.Quote(value), r.count(source, value))
	}
	source, mode, ok := r.find(volcanoModeKey)
	switch {
	case !ok, strings.EqualFold(mode, "hard"):
		return Wish{Required: level}
	case strings.EqualFold(mode, "soft"):
		return Wish{Preferred: level}
	}
	r.complain(Complaint(source, strconv.Quote(mode), `"hard" or "soft"`))
	return Wish{}
}

// find looks for the keys one after the other, each as an annotation and then as a label.
func (r *reading) find(keys ...string) (source, value string, ok bool) {
	for _, key := range keys {
		if value, ok := r.annotations[key]; ok {
			return "annotation " + key, value, true
		}
		if value, ok := r.labels[key]; ok {
			return "label " + key, value, true
		}
	}
	return "", "", false
}

// count reads a whole number of at least 1.
func (r *reading) count(source, value string) int32 {
	number, err := strconv.ParseInt(value, 10, 32)
	switch {
	case err == nil && number >= 1:
		return int32(number)
	case err == nil:
		r.complain(Complaint(source, strconv.Quote(value), "at least 1"))
	default:
		r.complain(Complaint(source, strconv.Quote(value), "a whole number of at most 2147483647"))
	}
	return 0
}
