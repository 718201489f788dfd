package links

// maxRemembered bounds the memory of a [Forecaster], to some MiB. Beyond it forgets everything: what matters is asked again
// soon.
const maxRemembered = 4096

// Forecaster remembers forecasts: there are many nodes of few kinds, and the free GPUs of one change seldom. It belongs to one
// goroutine. The zero value is ready.
type Forecaster struct {
	known map[question]answer
}

type question struct {
	links         Links
	free          Set
	count, others int
}

type answer struct {
	forecast Forecast
	ok       bool
}

// Forecast is [Links.Forecast], remembered.
func (f *Forecaster) Forecast(l *Links, free Set, count int) (Forecast, bool) {
	return f.ForecastAmong(l, free, count, 0)
}

// ForecastAmong is [Links.ForecastAmong], or [Links.Forecast] where there are no others, remembered.
func (f *Forecaster) ForecastAmong(l *Links, free Set, count, others int) (Forecast, bool) {
	q := question{*l, free, count, others}
	a, isKnown := f.known[q]
	if !isKnown {
		if others == 0 {
			a.forecast, a.ok = l.Forecast(free, count)
		} else {
			a.forecast, a.ok = l.ForecastAmong(free, count, others)
		}
		if f.known == nil || len(f.known) >= maxRemembered {
			f.known = map[question]answer{}
		}
		f.known[q] = a
	}
	return a.forecast, a.ok
}
