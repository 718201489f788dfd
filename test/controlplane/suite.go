package controlplane

// Suite is all that a package's TestMain runs, clusters included, of which no goroutine is to be left: a goleak.TestingM.
type Suite func() int

// Run runs it, and returns the exit code.
func (s Suite) Run() int { return s() }
