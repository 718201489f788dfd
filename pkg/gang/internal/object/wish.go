package object

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
)

// Wish is what the object wishes of the fabric, by its annotations and by field, which is what its dialect says.
func (r *Reader) Wish(field gang.Wish) gang.Wish {
	wish, complaint := gang.StatedWish(&unstructured.Unstructured{Object: r.object}, field)
	r.Complain(complaint)
	return wish
}

// Level reads the name or the node label key of a level, the zero value if there is none.
func (r *Reader) Level(path ...string) gang.Level {
	return r.levelBy(gang.LevelNamed, path)
}

// TierName reads a level by the name of its tier, the zero value if there is none or an empty one.
func (r *Reader) TierName(path ...string) gang.Level {
	if r.Text(path...) == "" {
		return gang.Level{}
	}
	return r.levelBy(gang.LevelOfTierName, path)
}

func (r *Reader) levelBy(read func(source, name string) (gang.Level, string), path []string) gang.Level {
	name, isText := r.value(path).(string)
	if !isText {
		r.Text(path...) // complains unless there is nothing
		return gang.Level{}
	}
	level, complaint := read(r.Place(path...), name)
	r.Complain(complaint)
	return level
}

// Tier reads a level by its tier, the zero value if there is none.
func (r *Reader) Tier(path ...string) gang.Level {
	tier, present := r.Int32(1, path...)
	if !present {
		return gang.Level{}
	}
	return gang.LevelOfTier(r.Place(path...), Quote(tier), tier)
}
