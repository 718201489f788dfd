package quality

import "github.com/phalanx-scheduler/phalanx/test/trace"

// Volcano is the plugins binpack and network-topology-aware, with GPUs as the only resource and all weights 1, for a job in
// the hard topology mode that allows the highest tier.
//
// The lowest tier of HyperNodes (leaf, spine, all) that has one which holds the job; among these the one that is the
// fullest with it. Below it pod by pod to the node with the highest sum of
//   - how full it would be, from 0 to 1;
//   - how near it is to the lowest HyperNode above the pods so far: 1 in the same leaf, 1/2 below the same spine, else 0;
//     nothing for the first pod;
//   - only among the nearest: the share of the job's pods that its leaf has already.
//
// Ties are broken at random.
//
// Source: plugins/binpack, plugins/network-topology-aware and allocateResourcesForTasks in actions/allocate of Volcano's
// master branch, and its user guide for network topology aware scheduling. Other plugins that score are left out: nodeorder,
// on by default, prefers empty nodes.
type Volcano struct{}

func (Volcano) Name() string { return "Volcano binpack" }

func (Volcano) Place(c *Cluster, g Gang) ([]int, bool) {
	hosts := shuffled(len(c.Hosts), g)
	for _, tier := range [][]Domain{c.Leaves, c.Spines, {c.All()}} {
		if d, ok := fullest(c, g, tier, shuffled(len(tier), g), 0); ok {
			return newVolcanoJob(c, g).place(inside(d, hosts))
		}
	}
	return nil, false
}

// volcanoJob is where a job's pods are so far.
type volcanoJob struct {
	c      *Cluster
	g      Gang
	taken  []int // GPUs, by host
	pods   []int // by leaf
	placed []int
	// leaf and spine are the lowest HyperNode above all pods, below none where they are too far apart.
	leaf, spine int
}

const none = -1

func newVolcanoJob(c *Cluster, g Gang) *volcanoJob {
	return &volcanoJob{c: c, g: g, taken: make([]int, len(c.Hosts)), pods: make([]int, len(c.Leaves)), leaf: none, spine: none}
}

// place places all pods. Hosts come in the order in which ties fall.
func (j *volcanoJob) place(candidates []int) ([]int, bool) {
	for range j.g.Members {
		h := j.best(candidates)
		if h == none {
			return nil, false
		}
		j.add(h)
	}
	return j.placed, true
}

// best is the host with the highest score for the next pod.
func (j *volcanoJob) best(candidates []int) int {
	nearest := 0
	for _, h := range candidates {
		if j.hasRoom(h) {
			nearest = max(nearest, j.nearness(h))
		}
	}
	best, bestScore := none, 0
	for _, h := range candidates {
		if !j.hasRoom(h) {
			continue
		}
		if s := j.score(h, nearest); best == none || s > bestScore {
			best, bestScore = h, s
		}
	}
	return best
}

func (j *volcanoJob) hasRoom(h int) bool { return j.c.Free[h]-j.taken[h] >= j.g.GPUsPerMember }

// score is in parts of 1/(GPUs per host × members), so that it is exact.
func (j *volcanoJob) score(h, nearest int) int {
	full := trace.GPUsPerHost - j.c.Free[h] + j.taken[h] + j.g.GPUsPerMember
	score := full * j.g.Members
	if len(j.placed) == 0 {
		return score
	}
	near := j.nearness(h)
	score += near * trace.GPUsPerHost * j.g.Members / 2
	if near == nearest {
		score += j.pods[j.c.Hosts[h].Leaf] * trace.GPUsPerHost
	}
	return score
}

// nearness is in halves.
func (j *volcanoJob) nearness(h int) int {
	switch {
	case j.c.Hosts[h].Leaf == j.leaf:
		return 2
	case j.c.Hosts[h].Spine == j.spine:
		return 1
	}
	return 0
}

func (j *volcanoJob) add(h int) {
	host := j.c.Hosts[h]
	if len(j.placed) == 0 {
		j.leaf, j.spine = host.Leaf, host.Spine
	}
	if j.leaf != host.Leaf {
		j.leaf = none
	}
	if j.spine != host.Spine {
		j.spine = none
	}
	j.taken[h] += j.g.GPUsPerMember
	j.pods[host.Leaf]++
	j.placed = append(j.placed, h)
}
