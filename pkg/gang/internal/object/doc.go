// Package object reads and writes the JSON objects that PodGroups arrive as, for the dialects of package gang.
//
// Purpose: a PodGroup is other people's input. A custom resource definition may be loose, old or somebody else's, so any
// field may hold anything. The dialects therefore read single fields by hand instead of decoding into the API's Go types:
// a decoder gives up at the first odd field and loses the rest, its errors do not name the value, and one hostile object
// could break a whole typed list. Here an odd field costs one clear sentence and nothing else.
//
// Invariants: nothing here panics on any JSON; the object that was read is never changed; complaints are the same for the
// same object, whatever the order of its maps; a complaint is short, however long the value that it quotes.
// Cost: a few map lookups per field that is read; one deep copy of the object per status that changes.
package object
