// Package wish reads what a pod wishes of its GPUs: annotations of the pod or of its PodGroup.
//
//	phalanx.dev/gpu-memory: 40Gi                   each GPU has so much free memory
//	phalanx.dev/gpu-product: H100, H200            each GPU is one of these
//	phalanx.dev/gpu-compute-capability: "9.0"      each GPU has this compute capability, or a later one
//	phalanx.dev/gpu-link: required:nvlink          the GPUs of a container are linked so, or better
//
// Purpose: one home for what these annotations mean. Invariants: reading is a pure function of the annotations; it never panics
// and takes no longer for a hostile value than for a sound one. A wrong value is one sentence that names annotation and value,
// and never reads as no wish. Wishes that ask for the same are equal, however they were written.
// Cost: four lookups in each of two maps; a microsecond or two for each annotation that is there.
package wish

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
	"github.com/phalanx-scheduler/phalanx/pkg/gpu/links"
)

// Wish is what a pod wishes of its GPUs. The zero value wishes nothing; == compares.
type Wish struct {
	// MemoryMiB is how much memory must be free on each GPU.
	MemoryMiB int
	// Products are the models of which any will do, as [Words] writes them, in order and with commas between them; "" is any.
	Products string
	// Capability is the earliest that will do.
	Capability gpu.Capability
	Link       Link
}

// IsZero is true if nothing is wished.
func (w Wish) IsZero() bool { return w == Wish{} }

// Link is how the GPUs of a container shall be linked at least; the zero value is anyhow.
type Link struct {
	Kind links.Kind
	// IsRequired is true if no other node will do, false if others are worse only.
	IsRequired bool
}

// Of returns what a pod with these annotations wishes whose PodGroup has those. Of an annotation that both have the pod's
// counts.
//
// complaint is about the first wrong value. A wrong value of the PodGroup is not passed over where the pod overrules it:
// somebody meant something by it.
func Of(pod, group map[string]string) (w Wish, complaint string) {
	r := reading{pod: pod, group: group}
	w = Wish{
		MemoryMiB:  read(&r, gang.GPUMemoryKey, parseMemory),
		Products:   read(&r, gang.GPUProductKey, parseProducts),
		Capability: read(&r, gang.GPUCapabilityKey, parseCapability),
		Link:       read(&r, gang.GPULinkKey, parseLink),
	}
	if r.complaint != "" {
		return Wish{}, r.complaint
	}
	return w, ""
}

// keys are the annotations that are read.
var keys = []string{gang.GPUMemoryKey, gang.GPUProductKey, gang.GPUCapabilityKey, gang.GPULinkKey}

// SaySame is true for annotations that say the same here, letter by letter.
func SaySame(a, b map[string]string) bool {
	return !slices.ContainsFunc(keys, func(key string) bool {
		x, isInA := a[key]
		y, isInB := b[key]
		return x != y || isInA != isInB
	})
}

// reading reads annotations and keeps the first complaint.
type reading struct {
	pod, group map[string]string
	complaint  string
}

// read parses what is said under a key. parse returns the rule that a wrong value breaks.
func read[T any](r *reading, key string, parse func(text string) (value T, rule string)) T {
	var value T
	hasValue := false
	for _, from := range []struct {
		annotations map[string]string
		source      string
	}{{r.pod, ""}, {r.group, " of its PodGroup"}} {
		text, ok := from.annotations[key]
		if !ok {
			continue
		}
		parsed, rule := parse(text)
		if rule != "" && r.complaint == "" {
			r.complaint = gang.Complaint("annotation "+key+from.source, strconv.Quote(text), rule)
		}
		if !hasValue {
			value, hasValue = parsed, true
		}
	}
	return value
}

// memoryForm leaves out exponents, which take the parser of quantities as long as they are large, and numbers too long for any
// memory.
var memoryForm = regexp.MustCompile(`^[0-9]{1,9}(\.[0-9]{1,3})?(k|Ki|M|Mi|G|Gi|T|Ti)?$`)

// Less than leastMemory is a number without its unit rather than a wish; more than mostMemory no report can tell of.
var (
	leastMemory = resource.MustParse("1Mi")
	mostMemory  = resource.MustParse("16Ti")
)

const bytesPerMiB = 1 << 20

func parseMemory(text string) (mib int, rule string) {
	const form = `a quantity from 1Mi to 16Ti, as in "40Gi"`
	if !memoryForm.MatchString(text) {
		return 0, form
	}
	q, err := resource.ParseQuantity(text)
	if err != nil || q.Cmp(leastMemory) < 0 || q.Cmp(mostMemory) > 0 {
		return 0, form
	}
	return int((q.Value() + bytesPerMiB - 1) / bytesPerMiB), ""
}

// What a list of products may have at most.
const (
	maxProducts     = 16
	maxProductBytes = 1024
)

// productForm is what names of products are made of.
var productForm = regexp.MustCompile(`^[A-Za-z0-9 ._/+()-]*$`)

func parseProducts(text string) (products, rule string) {
	form := fmt.Sprintf(`up to %d names of products with commas between them, as in "H100, NVIDIA L40S"`, maxProducts)
	items := strings.Split(text, ",")
	if len(text) > maxProductBytes || len(items) > maxProducts {
		return "", form
	}
	for i, item := range items {
		if items[i] = Words(item); items[i] == "" || !productForm.MatchString(item) {
			return "", form
		}
	}
	slices.Sort(items)
	return strings.Join(slices.Compact(items), ","), ""
}

// Words are the words of a product's name: runs of letters and digits, in small letters, with single spaces between them.
// "NVIDIA-A100-SXM4-80GB", as node labels have it, and "NVIDIA A100 SXM4 80GB" are the same words.
func Words(product string) string {
	words := make([]byte, 0, len(product))
	for i := range len(product) {
		c := product[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		default:
			if len(words) > 0 && words[len(words)-1] != ' ' {
				words = append(words, ' ')
			}
			continue
		}
		words = append(words, c)
	}
	return strings.TrimSuffix(string(words), " ")
}

// HasProduct is true for a product, in its [Words], that is wished: the words of a wish stand in its name one after the other.
// H100 finds NVIDIA H100 80GB HBM3; L40 does not find NVIDIA L40S, nor A10 NVIDIA A100.
func (w Wish) HasProduct(words string) bool {
	if w.Products == "" {
		return true
	}
	name := " " + words + " "
	for item := range strings.SplitSeq(w.Products, ",") {
		if strings.Contains(name, " "+item+" ") {
			return true
		}
	}
	return false
}

// capabilityForm has no 0.x: there is no such GPU, and 0.0 stands for an unknown one.
var capabilityForm = regexp.MustCompile(`^([1-9][0-9]?)\.(0|[1-9][0-9]?)$`)

func parseCapability(text string) (c gpu.Capability, rule string) {
	parts := capabilityForm.FindStringSubmatch(text)
	if parts == nil {
		return gpu.Capability{}, `two numbers with a point between them, as in "9.0"`
	}
	c.Major, _ = strconv.Atoi(parts[1])
	c.Minor, _ = strconv.Atoi(parts[2])
	return c, ""
}

// kinds are the links that may be wished for, best first.
var kinds = []links.Kind{links.NVLink, links.SameSwitch, links.SameNUMA}

func parseLink(text string) (Link, string) {
	strength, word, _ := strings.Cut(text, ":")
	if strength == "required" || strength == "preferred" {
		for _, kind := range kinds {
			if word == kind.String() {
				return Link{Kind: kind, IsRequired: strength == "required"}, ""
			}
		}
	}
	return Link{}, `"required:" or "preferred:" with "nvlink", "same-switch" or "same-numa" after it`
}
