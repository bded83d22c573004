// Package compare tells whether one run is better than another: a Mann–Whitney U
// test of every metric over the rounds of both, with the size of the effect, and
// a list of what makes the two hard to compare. It calls nothing a difference
// that so few rounds cannot show.
//
// The package imports bench/internal/result and nothing else of the project.
package compare

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"kvd/bench/internal/result"
)

const (
	// Alpha is the level of significance: the share of pairs without a difference
	// that are called different all the same.
	Alpha = 0.05
	// MinRounds is the least number of values a side for a verdict.
	MinRounds = 5
)

// Verdict is what can be said of B against A.
type Verdict string

// The verdicts. WithinNoise is no proof that both are the same.
const (
	Better      Verdict = "better"
	Worse       Verdict = "worse"
	Differs     Verdict = "differs" // where neither more nor less is better
	WithinNoise Verdict = "within noise"
	CannotTell  Verdict = "cannot tell"
)

// Side is one of the two that are compared.
type Side struct {
	Run        *result.Run
	Contestant string // empty: all of the run
}

// Row is the comparison of one metric in one scenario at one size.
type Row struct {
	Scenario    string
	ContestantA string
	ContestantB string // differs from ContestantA if two contestants are compared
	Keys        int64

	Metric  string
	Unit    string
	Higher  bool // higher is better
	Neutral bool // neither is

	A, B             []float64 // one value a round, finite ones only
	MedianA, MedianB float64
	Ratio            float64 // MedianB / MedianA; NaN where MedianA is 0 and MedianB is not
	// P is the probability, if A and B do not differ, of ranks that differ at
	// least as much as these do; 1 if nothing could be tested.
	P float64
	// Cliff is Cliff's delta, -1…1: the share of pairs in which B is the larger
	// minus the share in which A is. 0 if a side is empty.
	Cliff float64
	// Shift is the Hodges–Lehmann estimate of how much larger B is, in Unit: the
	// median of all differences of a value of B and one of A.
	Shift   float64
	Verdict Verdict
}

// Report is the comparison of two runs, or of two contestants.
type Report struct {
	A, B Side
	// Warnings say what makes the comparison unfair or weak.
	Warnings []string
	// Notes say how A and B differ in what may be the very object of comparison:
	// the versions and settings of the contestants.
	Notes []string
	// OnlyA and OnlyB are the groups, in words, that the other side has not.
	OnlyA, OnlyB []string
	Rows         []Row
}

// SplitRef splits what the command line names, RUN or RUN:CONTESTANT.
func SplitRef(ref string) (run, contestant string) {
	run, contestant, _ = strings.Cut(ref, ":")
	return run, contestant
}

// Runs compares run b with run a, which may be the same one. If contestants are
// named, only contestantB of b and contestantA of a are compared; if one is
// named, the other is the same. Without, every contestant is compared with the
// one of its name. It fails if a named contestant is not in its run, or if both
// sides are one and the same.
func Runs(a, b *result.Run, contestantA, contestantB string) (*Report, error) {
	if contestantA == "" {
		contestantA = contestantB
	}
	if contestantB == "" {
		contestantB = contestantA
	}
	for _, side := range []Side{{a, contestantA}, {b, contestantB}} {
		if err := side.check(); err != nil {
			return nil, err
		}
	}
	if (a == b || a.ID == b.ID) && contestantA == contestantB {
		return nil, errors.New("both sides are the same: name two runs, or two contestants of the run as RUN:CONTESTANT")
	}
	r := &Report{A: Side{a, contestantA}, B: Side{b, contestantB}}
	r.warn()
	groupsA, samplesA := r.A.collect()
	groupsB, samplesB := r.B.collect()
	for _, g := range groupsA {
		other := r.counterpart(g)
		if !slices.Contains(groupsB, other) {
			r.OnlyA = append(r.OnlyA, groupWords(g))
			continue
		}
		r.addRows(g, other, samplesA[g], samplesB[other])
	}
	for _, g := range groupsB {
		paired := slices.ContainsFunc(groupsA, func(a result.Group) bool { return r.counterpart(a) == g })
		if !paired {
			r.OnlyB = append(r.OnlyB, groupWords(g))
		}
	}
	return r, nil
}

// check fails if the contestant is not in the run.
func (s Side) check() error {
	if s.Contestant == "" {
		return nil
	}
	var names []string
	for _, c := range s.Run.Contestants {
		names = append(names, c.Name)
	}
	for i := range s.Run.Trials {
		if n := s.Run.Trials[i].Contestant; !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	if slices.Contains(names, s.Contestant) {
		return nil
	}
	return fmt.Errorf("run %s has no contestant %q; it has %s", s.Run.ID, s.Contestant, strings.Join(names, ", "))
}

// usable tells whether a trial of the run takes part. Interrupted ones do not:
// their windows are shorter than those of the others.
func (s Side) usable(t *result.Trial) bool { return s.picks(t) && !t.Partial }

// picks tells whether a trial is of this side's contestant.
func (s Side) picks(t *result.Trial) bool {
	return s.Contestant == "" || s.Contestant == t.Contestant
}

// collect returns the groups and samples of the trials that take part.
func (s Side) collect() ([]result.Group, map[result.Group][]result.Sample) {
	part := result.Run{}
	for i := range s.Run.Trials {
		t := &s.Run.Trials[i]
		if s.usable(t) && t.Skipped == "" {
			part.Trials = append(part.Trials, *t)
		}
	}
	return part.Collect()
}

// counterpart returns the group of B that is compared with a group of A.
func (r *Report) counterpart(g result.Group) result.Group {
	if r.A.Contestant != "" {
		g.Contestant = r.B.Contestant
	}
	return g
}

// addRows adds the metrics of a pair of groups, those of B alone last.
func (r *Report) addRows(a, b result.Group, samplesA, samplesB []result.Sample) {
	find := func(in []result.Sample, name string) result.Sample {
		for _, s := range in {
			if s.Name == name {
				return s
			}
		}
		return result.Sample{}
	}
	add := func(m result.Metric, valuesA, valuesB []float64) {
		row := Row{
			Scenario: a.Scenario, ContestantA: a.Contestant, ContestantB: b.Contestant, Keys: a.Keys,
			Metric: m.Name, Unit: m.Unit, Higher: m.Higher, Neutral: m.Neutral, A: finite(valuesA), B: finite(valuesB),
		}
		row.judge()
		r.Rows = append(r.Rows, row)
	}
	for _, s := range samplesA {
		add(s.Metric, s.Values, find(samplesB, s.Name).Values)
	}
	for _, s := range samplesB {
		if find(samplesA, s.Name).Name == "" {
			add(s.Metric, nil, s.Values)
		}
	}
}

// finite leaves out what a division by nothing may have brought in.
func finite(values []float64) []float64 {
	return slices.DeleteFunc(slices.Clone(values), func(v float64) bool {
		return math.IsNaN(v) || math.IsInf(v, 0)
	})
}

// judge fills the row's figures from its values.
func (row *Row) judge() {
	row.MedianA, row.MedianB = result.Median(row.A), result.Median(row.B)
	row.Ratio, row.P, row.Verdict = 1, 1, CannotTell
	if row.MedianA != row.MedianB {
		row.Ratio = math.NaN()
		if row.MedianA != 0 {
			row.Ratio = row.MedianB / row.MedianA
		}
	}
	if len(row.A) == 0 || len(row.B) == 0 {
		row.Ratio = math.NaN()
		return
	}
	row.P = MannWhitney(row.A, row.B)
	row.Cliff, row.Shift = CliffsDelta(row.A, row.B), HodgesLehmann(row.A, row.B)
	switch {
	case min(len(row.A), len(row.B)) < MinRounds:
	case row.P >= Alpha || row.Cliff == 0:
		row.Verdict = WithinNoise
	case row.Neutral:
		row.Verdict = Differs
	case row.Cliff > 0 == row.Higher:
		row.Verdict = Better
	default:
		row.Verdict = Worse
	}
}

// Rounds returns the number of values of the side that has fewer.
func (row *Row) Rounds() int { return min(len(row.A), len(row.B)) }

// groupWords says "scenario A, fork, 3,000,000 keys".
func groupWords(g result.Group) string {
	return fmt.Sprintf("scenario %s, %s, %s keys", g.Scenario, g.Contestant, thousands(g.Keys))
}
