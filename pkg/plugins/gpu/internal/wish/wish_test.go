package wish

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
	"github.com/phalanx-scheduler/phalanx/pkg/gpu/links"
)

type annotations = map[string]string

func TestWhatIsWished(t *testing.T) {
	memory := func(text string) annotations { return annotations{gang.GPUMemoryKey: text} }
	product := func(text string) annotations { return annotations{gang.GPUProductKey: text} }
	for name, test := range map[string]struct {
		pod, group annotations
		want       Wish
	}{
		"nothing":                               {nil, nil, Wish{}},
		"nothing of ours":                       {annotations{"phalanx.dev/required-topology": "rack"}, nil, Wish{}},
		"memory":                                {memory("40Gi"), nil, Wish{MemoryMiB: 40960}},
		"memory in thousands":                   {memory("40G"), nil, Wish{MemoryMiB: 38147}},
		"memory in fractions, rounded up":       {memory("1.001Mi"), nil, Wish{MemoryMiB: 2}},
		"the least memory":                      {memory("1048576"), nil, Wish{MemoryMiB: 1}},
		"the most memory":                       {memory("16Ti"), nil, Wish{MemoryMiB: 16 << 20}},
		"a product":                             {product("NVIDIA-H100-80GB-HBM3"), nil, Wish{Products: "nvidia h100 80gb hbm3"}},
		"products, in whatever order and twice": {product("H200,  h100 , H200"), nil, Wish{Products: "h100,h200"}},
		"a compute capability":                  {annotations{gang.GPUCapabilityKey: "8.9"}, nil, Wish{Capability: gpu.Capability{Major: 8, Minor: 9}}},
		"a compute capability of two digits":    {annotations{gang.GPUCapabilityKey: "10.0"}, nil, Wish{Capability: gpu.Capability{Major: 10}}},
		"a link that is required":               {annotations{gang.GPULinkKey: "required:nvlink"}, nil, Wish{Link: Link{links.NVLink, true}}},
		"a link that is preferred":              {annotations{gang.GPULinkKey: "preferred:same-numa"}, nil, Wish{Link: Link{links.SameNUMA, false}}},
		"what the PodGroup says":                {nil, memory("40Gi"), Wish{MemoryMiB: 40960}},
		"the pod before its PodGroup":           {memory("20Gi"), memory("40Gi"), Wish{MemoryMiB: 20480}},
		"some by the pod, some by its PodGroup": {product("H100"), memory("40Gi"), Wish{MemoryMiB: 40960, Products: "h100"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, complaint := Of(test.pod, test.group)
			assert.Empty(t, complaint)
			assert.Equal(t, test.want, got)
			assert.Equal(t, test.want == Wish{}, got.IsZero())
		})
	}
}

func TestWrongValues(t *testing.T) {
	const (
		memory     = `it must be a quantity from 1Mi to 16Ti, as in "40Gi"`
		products   = `it must be up to 16 names of products with commas between them, as in "H100, NVIDIA L40S"`
		capability = `it must be two numbers with a point between them, as in "9.0"`
		link       = `it must be "required:" or "preferred:" with "nvlink", "same-switch" or "same-numa" after it`
	)
	for name, test := range map[string]struct{ key, value, want string }{
		"no memory":                            {gang.GPUMemoryKey, "", `annotation phalanx.dev/gpu-memory is "": ` + memory},
		"memory in words":                      {gang.GPUMemoryKey, "lots", `annotation phalanx.dev/gpu-memory is "lots": ` + memory},
		"memory without its unit":              {gang.GPUMemoryKey, "40", `annotation phalanx.dev/gpu-memory is "40": ` + memory},
		"memory below zero":                    {gang.GPUMemoryKey, "-40Gi", `annotation phalanx.dev/gpu-memory is "-40Gi": ` + memory},
		"more memory than any GPU has":         {gang.GPUMemoryKey, "17Ti", `annotation phalanx.dev/gpu-memory is "17Ti": ` + memory},
		"a hostile exponent":                   {gang.GPUMemoryKey, "1e-999999999", `annotation phalanx.dev/gpu-memory is "1e-999999999": ` + memory},
		"a hostile number of digits":           {gang.GPUMemoryKey, strings.Repeat("9", 100_000), `annotation phalanx.dev/gpu-memory is "` + strings.Repeat("9", 39) + `…: ` + memory},
		"no product":                           {gang.GPUProductKey, "", `annotation phalanx.dev/gpu-product is "": ` + products},
		"a comma too many":                     {gang.GPUProductKey, "H100,", `annotation phalanx.dev/gpu-product is "H100,": ` + products},
		"products with another sign between":   {gang.GPUProductKey, "H100;H200", `annotation phalanx.dev/gpu-product is "H100;H200": ` + products},
		"too many products":                    {gang.GPUProductKey, "a" + strings.Repeat(",a", 16), `annotation phalanx.dev/gpu-product is "` + "a" + strings.Repeat(",a", 16) + `": ` + products},
		"a capability without a point":         {gang.GPUCapabilityKey, "9", `annotation phalanx.dev/gpu-compute-capability is "9": ` + capability},
		"a capability below all":               {gang.GPUCapabilityKey, "0.0", `annotation phalanx.dev/gpu-compute-capability is "0.0": ` + capability},
		"a capability with zeros before it":    {gang.GPUCapabilityKey, "09.00", `annotation phalanx.dev/gpu-compute-capability is "09.00": ` + capability},
		"a link without a strength":            {gang.GPULinkKey, "nvlink", `annotation phalanx.dev/gpu-link is "nvlink": ` + link},
		"a strength without a link":            {gang.GPULinkKey, "required", `annotation phalanx.dev/gpu-link is "required": ` + link},
		"a strength that is none":              {gang.GPULinkKey, "wanted:nvlink", `annotation phalanx.dev/gpu-link is "wanted:nvlink": ` + link},
		"a link that nobody can wish for":      {gang.GPULinkKey, "required:apart", `annotation phalanx.dev/gpu-link is "required:apart": ` + link},
		"a link in capitals, which is no word": {gang.GPULinkKey, "required:NVLink", `annotation phalanx.dev/gpu-link is "required:NVLink": ` + link},
	} {
		t.Run(name, func(t *testing.T) {
			wrong := annotations{test.key: test.value}
			got, complaint := Of(wrong, nil)
			assert.Equal(t, test.want, complaint)
			assert.Zero(t, got)

			_, complaint = Of(nil, wrong)
			assert.Equal(t, strings.Replace(test.want, test.key, test.key+" of its PodGroup", 1), complaint)
		})
	}
	_, complaint := Of(annotations{gang.GPUMemoryKey: "40Gi"}, annotations{gang.GPUMemoryKey: "lots"})
	assert.Contains(t, complaint, "of its PodGroup", "a wrong value is not passed over because another overrules it")
}

func TestProducts(t *testing.T) {
	for name, test := range map[string]struct {
		wish, product string
		want          bool
	}{
		"the model":                         {"H100", "NVIDIA H100 80GB HBM3", true},
		"whatever the case":                 {"h100", "NVIDIA H100 80GB HBM3", true},
		"the whole name":                    {"NVIDIA H100 80GB HBM3", "NVIDIA H100 80GB HBM3", true},
		"the whole name as labels have it":  {"NVIDIA-H100-80GB-HBM3", "NVIDIA H100 80GB HBM3", true},
		"a part of a name with dashes":      {"A100", "NVIDIA A100-SXM4-80GB", true},
		"some words of it":                  {"H100 80GB", "NVIDIA H100 80GB HBM3", true},
		"words that do not follow":          {"H100 HBM3", "NVIDIA H100 80GB HBM3", false},
		"another model whose name is more":  {"L40", "NVIDIA L40S", false},
		"another model whose name is less":  {"A10", "NVIDIA A100 80GB PCIe", false},
		"another form of the model":         {"H100 PCIe", "NVIDIA H100 80GB HBM3", false},
		"one of several":                    {"H200, H100", "NVIDIA H100 80GB HBM3", true},
		"none of several":                   {"H200, B200", "NVIDIA H100 80GB HBM3", false},
		"a product that the driver omits":   {"H100", "", false},
		"a model whose name begins with it": {"B200", "NVIDIA GB200", false},
	} {
		t.Run(name, func(t *testing.T) {
			w, complaint := Of(annotations{gang.GPUProductKey: test.wish}, nil)
			require.Empty(t, complaint)
			assert.Equal(t, test.want, w.HasProduct(Words(test.product)))
		})
	}
	assert.True(t, Wish{}.HasProduct(""), "who wishes nothing takes all")
}

// FuzzOf looks for values that end Of otherwise than with a wish or a short sentence.
func FuzzOf(f *testing.F) {
	for _, seed := range [][4]string{
		{"40Gi", "H100, H200", "9.0", "required:nvlink"},
		{"1e-999999999", ",", "9", "preferred:"},
		{"\xff", "H\x00100", "99.99", ":"},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3])
	}
	f.Fuzz(func(t *testing.T, memory, product, capability, link string) {
		said := annotations{gang.GPUMemoryKey: memory, gang.GPUProductKey: product, gang.GPUCapabilityKey: capability, gang.GPULinkKey: link}
		w, complaint := Of(said, nil)
		if complaint != "" {
			require.Zero(t, w)
			require.Less(t, utf8.RuneCountInString(complaint), 300)
			return
		}
		require.Positive(t, w.MemoryMiB)
		require.LessOrEqual(t, w.MemoryMiB, 16<<20)
		require.NotZero(t, w.Capability)
		require.NotZero(t, w.Link.Kind)
		for item := range strings.SplitSeq(w.Products, ",") {
			require.NotEmpty(t, item)
			require.True(t, w.HasProduct(item), "a product has its own name")
		}
		again, complaint := Of(annotations{gang.GPUProductKey: w.Products}, nil)
		require.Empty(t, complaint)
		require.Equal(t, w.Products, again.Products)
	})
}
