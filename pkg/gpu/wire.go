package gpu

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Version is the schema that this package writes and reads.
const Version = 1

// MaxBytes is how long a report may be, in and out.
const MaxBytes = 16 << 10

// ErrNewer is what [Parse] says of a later schema than [Version]: whoever reads it must be upgraded, and has no report until
// then. There is no partial understanding: a state that this version does not know may be the one that matters.
var ErrNewer = errors.New("the report's version is later than this reader knows")

// wireReport is the report as JSON, its fields in the order in which they are written.
type wireReport struct {
	Version int         `json:"version"`
	Driver  string      `json:"driver,omitempty"`
	Boot    string      `json:"boot,omitempty"`
	Missing int         `json:"missing,omitempty"`
	Fabric  *wireFabric `json:"fabric,omitempty"`
	Models  []wireModel `json:"models,omitempty"`
	GPUs    []wireGPU   `json:"gpus"`
	Links   *wireLinks  `json:"links,omitempty"`
	Near    []string    `json:"near,omitempty"` // a digit per pair
}

type wireFabric struct {
	UUID   string `json:"uuid"`
	Clique uint32 `json:"clique"`
}

// wireModel is what several GPUs have in common, in the order of the first GPU of each.
type wireModel struct {
	Product    string `json:"product,omitempty"`
	Capability string `json:"capability,omitempty"`
	MemoryMiB  int    `json:"memoryMiB"`
	Links      int    `json:"links,omitempty"`
}

type wireGPU struct {
	Index    int      `json:"index"`
	Model    int      `json:"model,omitempty"`
	UUID     string   `json:"uuid"`
	Bus      string   `json:"bus,omitempty"`
	NUMA     *int     `json:"numa,omitempty"`
	FreeMiB  int      `json:"freeMiB"`
	IsMIG    bool     `json:"mig,omitempty"`
	State    State    `json:"state,omitempty"`
	Reasons  []string `json:"reasons,omitempty"`
	Recovery Recovery `json:"recovery,omitempty"`
	Trouble  uint64   `json:"troubleJoules,omitempty"`
	BadLinks int      `json:"badLinks,omitempty"`
}

type wireLinks struct {
	Kind   LinkKind `json:"kind"`
	IsDown bool     `json:"down,omitempty"`
	Pairs  [][3]int `json:"pairs,omitempty"`
}

// Encode writes a valid report. If it is too long, each GPU keeps its first reason only, then none.
func (r *Report) Encode() ([]byte, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	var text []byte
	for _, reasons := range []int{MaxReasons, 1, 0} {
		var err error
		if text, err = json.Marshal(r.wire(reasons)); err != nil {
			return nil, fmt.Errorf("GPU report: %w", err)
		}
		if len(text) <= MaxBytes {
			return text, nil
		}
	}
	return nil, fmt.Errorf("GPU report has %d bytes without reasons: at most %d are allowed", len(text), MaxBytes)
}

// wire makes JSON of a valid report, with so many reasons per GPU.
func (r *Report) wire(reasons int) wireReport {
	w := wireReport{Version: Version, Driver: r.Driver, Boot: r.Boot, Missing: r.Missing, GPUs: make([]wireGPU, 0, len(r.GPUs))}
	if !r.Fabric.IsZero() {
		w.Fabric = (*wireFabric)(&r.Fabric)
	}
	for i := range r.GPUs {
		g := &r.GPUs[i]
		m := wireModel{Product: g.Product, MemoryMiB: g.MemoryMiB, Links: g.Links}
		if g.Capability != (Capability{}) {
			m.Capability = g.Capability.String()
		}
		model := slices.Index(w.Models, m)
		if model < 0 {
			model = len(w.Models)
			w.Models = append(w.Models, m)
		}
		out := wireGPU{
			Index: g.Index, Model: model, UUID: g.UUID, Bus: g.Bus, FreeMiB: g.FreeMiB, IsMIG: g.IsMIG, State: g.State,
			Reasons: g.Reasons[:min(reasons, len(g.Reasons))], Recovery: g.Recovery, Trouble: g.TroubleJoules, BadLinks: g.BadLinks,
		}
		if g.NUMA >= 0 {
			out.NUMA = &g.NUMA
		}
		w.GPUs = append(w.GPUs, out)
	}
	if r.Links.Kind != NoLinks {
		w.Links = &wireLinks{Kind: r.Links.Kind, IsDown: r.Links.IsDown}
		for _, p := range r.Links.Pairs {
			w.Links.Pairs = append(w.Links.Pairs, [3]int{p.A, p.B, p.Links})
		}
	}
	for _, row := range r.Near {
		digits := make([]byte, len(row))
		for i, c := range row {
			digits[i] = '0' + byte(c)
		}
		w.Near = append(w.Near, string(digits))
	}
	return w
}

// Parse reads a report from whoever wrote it. It takes nothing but what [Report.Encode] writes: no other field, order, spelling
// or white space. Its errors name the field.
func Parse(text []byte) (Report, error) {
	r, err := parse(text)
	if err != nil {
		return Report{}, fmt.Errorf("GPU report: %w", err)
	}
	return r, nil
}

func parse(text []byte) (Report, error) {
	if len(text) > MaxBytes {
		return Report{}, fmt.Errorf("it has %d bytes, at most %d are allowed", len(text), MaxBytes)
	}
	var head struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return Report{}, plain(err)
	}
	switch {
	case head.Version > Version:
		return Report{}, fmt.Errorf("version is %d: %w, which is %d", head.Version, ErrNewer, Version)
	case head.Version < Version:
		return Report{}, fmt.Errorf("version is %d: it must be %d", head.Version, Version)
	}
	var w wireReport
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&w); err != nil {
		return Report{}, plain(err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return Report{}, errors.New("something follows it")
	}
	r, err := w.report()
	if err != nil {
		return Report{}, err
	}
	if err := r.validate(); err != nil {
		return Report{}, err
	}
	return r, sameBytes(text, r.wire(MaxReasons))
}

// plain says without Go's names that a field is of another type.
func plain(err error) error {
	var typed *json.UnmarshalTypeError
	if !errors.As(err, &typed) {
		return err
	}
	return wrong(typed.Field, "a "+typed.Value, "of type "+typed.Type.Kind().String())
}

// sameBytes refuses a text that says the same in other words: fields twice, in another order or case, defaults that are written
// out.
func sameBytes(text []byte, w wireReport) error {
	want, err := json.Marshal(w)
	if err != nil || bytes.Equal(text, want) {
		return err
	}
	at := 0
	for at < min(len(text), len(want)) && text[at] == want[at] {
		at++
	}
	rest := func(s []byte) string { return quote(string(s[at:])) }
	return fmt.Errorf("it is not canonical: from byte %d it is %s, it must be %s", at, rest(text), rest(want))
}

// report makes a report of JSON. What it cannot express is refused here, everything else by validate.
func (w *wireReport) report() (Report, error) {
	r := Report{Driver: w.Driver, Boot: w.Boot, Missing: w.Missing}
	if w.Fabric != nil {
		r.Fabric = Fabric(*w.Fabric)
	}
	for i, g := range w.GPUs {
		if g.Model < 0 || g.Model >= len(w.Models) {
			return Report{}, wrong(fmt.Sprintf("gpus[%d].model", i), g.Model, fmt.Sprintf("a position in models, which has %d", len(w.Models)))
		}
		m := w.Models[g.Model]
		capability, err := parseCapability(m.Capability)
		if err != nil {
			return Report{}, fmt.Errorf("models[%d].%w", g.Model, err)
		}
		out := GPU{
			Index: g.Index, UUID: g.UUID, Bus: g.Bus, NUMA: -1, Product: m.Product, Capability: capability,
			MemoryMiB: m.MemoryMiB, FreeMiB: g.FreeMiB, IsMIG: g.IsMIG, State: g.State, Reasons: g.Reasons,
			Recovery: g.Recovery, TroubleJoules: g.Trouble, Links: m.Links, BadLinks: g.BadLinks,
		}
		if g.NUMA != nil {
			out.NUMA = *g.NUMA
		}
		r.GPUs = append(r.GPUs, out)
	}
	if w.Links != nil {
		r.Links = Links{Kind: w.Links.Kind, IsDown: w.Links.IsDown}
		for _, p := range w.Links.Pairs {
			r.Links.Pairs = append(r.Links.Pairs, Pair{p[0], p[1], p[2]})
		}
	}
	for i, digits := range w.Near {
		row := make([]Closeness, len(digits))
		for j := range row {
			if digits[j] < '0' || digits[j] > '0'+byte(SameBoard) {
				return Report{}, wrong(fmt.Sprintf("near[%d]", i), quote(digits), fmt.Sprintf("digits from 0 to %d", SameBoard))
			}
			row[j] = Closeness(digits[j] - '0')
		}
		r.Near = append(r.Near, row)
	}
	return r, nil
}

func parseCapability(text string) (Capability, error) {
	if text == "" {
		return Capability{}, nil
	}
	majorText, minorText, _ := strings.Cut(text, ".")
	major, errMajor := strconv.Atoi(majorText)
	minor, errMinor := strconv.Atoi(minorText)
	c := Capability{major, minor}
	if errMajor != nil || errMinor != nil || c.String() != text {
		return Capability{}, wrong("capability", quote(text), `two numbers with a point between them, as in "9.0"`)
	}
	return c, nil
}
