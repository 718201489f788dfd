package trace

import (
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"
)

// Job is a job of the trace. Its pods form one gang.
type Job struct {
	ID int
	// Arrival counts from the beginning of the trace.
	Arrival, Duration time.Duration
	Pods              int
	GPUsPerPod        int64
}

// GPUs is what the whole job asks for.
func (j Job) GPUs() int64 { return int64(j.Pods) * j.GPUsPerPod }

// ReadJobs reads jobs, as AcmeTrace's Kalos jobs were converted: a CSV file with a header. The jobs come in the order of
// their arrival.
func ReadJobs(r io.Reader) ([]Job, error) {
	rows, err := csv.NewReader(r).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, errors.New("the trace is empty")
	}
	columns := map[string]int{}
	for i, name := range rows[0] {
		columns[name] = i
	}
	for _, name := range []string{"job_id", "arrival_time", "num_iteration", "iteration_computing_time", "iteration_networking_time", "gpu_workers", "gpu_per_worker"} {
		if _, ok := columns[name]; !ok {
			return nil, fmt.Errorf("the trace has no column %s", name)
		}
	}
	jobs := make([]Job, 0, len(rows)-1)
	for i, row := range rows[1:] {
		job, err := parse(row, columns)
		if err != nil {
			return nil, fmt.Errorf("job in line %d: %w", i+2, err)
		}
		jobs = append(jobs, job)
	}
	slices.SortStableFunc(jobs, func(a, b Job) int { return cmp.Compare(a.Arrival, b.Arrival) })
	return jobs, nil
}

func parse(row []string, columns map[string]int) (Job, error) {
	var errs []error
	number := func(column string) float64 {
		value, err := strconv.ParseFloat(row[columns[column]], 64)
		if err == nil && !(value >= 0 && value < 1e9) {
			err = fmt.Errorf("%v is out of range", value)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", column, err))
		}
		return value
	}
	job := Job{
		ID:         int(number("job_id")),
		Arrival:    seconds(number("arrival_time")),
		Duration:   seconds(number("num_iteration") * (number("iteration_computing_time") + number("iteration_networking_time"))),
		Pods:       int(number("gpu_workers")),
		GPUsPerPod: int64(number("gpu_per_worker")),
	}
	return job, errors.Join(errs...)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// Totals describes jobs as a whole.
type Totals struct {
	Jobs, Pods  int
	LargestPods int
	LargestGPUs int64
	// PeakGPUs is the most that they would have used at once, had each started when it arrived.
	PeakGPUs int64
	// Span is from the first arrival to the last, Shortest and Longest are of their durations.
	Span, Shortest, Longest time.Duration
}

// Sum describes the jobs, which must be in the order of their arrival.
func Sum(jobs []Job) Totals {
	t := Totals{Jobs: len(jobs)}
	if len(jobs) == 0 {
		return t
	}
	type change struct {
		at   time.Duration
		gpus int64
	}
	var changes []change
	t.Span, t.Shortest = jobs[len(jobs)-1].Arrival-jobs[0].Arrival, jobs[0].Duration
	for _, j := range jobs {
		t.Pods += j.Pods
		t.LargestPods, t.LargestGPUs = max(t.LargestPods, j.Pods), max(t.LargestGPUs, j.GPUs())
		t.Shortest, t.Longest = min(t.Shortest, j.Duration), max(t.Longest, j.Duration)
		changes = append(changes, change{j.Arrival, j.GPUs()}, change{j.Arrival + j.Duration, -j.GPUs()})
	}
	// A job that ends makes room before one that arrives at the same moment takes it.
	slices.SortFunc(changes, func(a, b change) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.gpus, b.gpus)) })
	var now int64
	for _, c := range changes {
		now += c.gpus
		t.PeakGPUs = max(t.PeakGPUs, now)
	}
	return t
}
