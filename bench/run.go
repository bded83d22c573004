//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"kvd/bench/internal/apart"
	"kvd/bench/internal/contest"
	"kvd/bench/internal/host"
	"kvd/bench/internal/load"
	"kvd/bench/internal/report"
	"kvd/bench/internal/result"
	"kvd/bench/internal/scenario"
	"kvd/bench/internal/store"
	"kvd/bench/internal/trial"
)

var (
	errInterrupted = errors.New("interrupted; what was measured until then is kept, marked partial")
	errTooEarly    = errors.New("interrupted before anything was measured")
)

// quick is the scale of the comparison without arguments: under a minute, under 1 GB.
const (
	quickScale     = 0.1
	quickScenarios = "A,G"
	fullScenarios  = "A,B,E,F,G,H"

	sampleEvery = 100 * time.Millisecond // of a server's memory, or less often; see host.NewSampler
)

// runOptions are what the command line of run says.
type runOptions struct {
	scenarios, contestants string
	start, server          []string
	scale, label           string
	rounds                 int
	before, after          time.Duration
	seed                   uint64
	rate                   float64 // below 0: each scenario's own
	dir, results, html     string
	jsonl                  string
	noApart                bool
}

func parseRun(args []string) (o runOptions, err error) {
	fs, results := flags("run", "[options]")
	fs.StringVar(&o.scenarios, "scenarios", "", "comma-separated: "+strings.Join(scenario.Names(), ", ")+", or all (default: "+quickScenarios+"; with -scale full "+fullScenarios+")")
	fs.StringVar(&o.contestants, "contestants", "", "comma-separated: "+strings.Join(contest.Names(), ", ")+" (default "+strings.Join(contest.Default, ",")+"; none if only -start or -server are wanted)")
	list := func(name, usage string, to *[]string) {
		fs.Func(name, usage, func(s string) error { *to = append(*to, s); return nil })
	}
	list("start", "`NAME=/path [arguments]`: start this server too, a Redis or Valkey (repeatable)", &o.start)
	list("server", "`NAME=host:port`: measure a running, empty server too (repeatable; it is emptied afterwards)", &o.server)
	fs.StringVar(&o.scale, "scale", "quick", "quick, full, or a factor on the number of keys")
	fs.IntVar(&o.rounds, "rounds", 0, "rounds of everything, in turn (default 1; with -scale full 5)")
	fs.DurationVar(&o.before, "before", 0, "clients before the save (default 700ms; with -scale full 10s)")
	fs.DurationVar(&o.after, "after", 0, "clients after the save (default 300ms; with -scale full 3s)")
	fs.Uint64Var(&o.seed, "seed", 1, "of keys and values")
	fs.Float64Var(&o.rate, "rate", -1, "requests a second of all clients in every scenario with clients, 0 for as fast as replies come (default: the scenario's)")
	fs.StringVar(&o.label, "label", "", "a name for the run in list")
	fs.StringVar(&o.dir, "dir", os.TempDir(), "where the servers keep their data meanwhile")
	fs.StringVar(&o.html, "html", "", "`file` of the HTML report (default: in the results, with pictures beside it)")
	fs.StringVar(&o.jsonl, "json", "", "`file` for the run as JSON lines")
	fs.BoolVar(&o.noApart, "no-apart", false, "leave out 'fork against thread, taken apart'")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if fs.NArg() > 0 {
		return o, fmt.Errorf("run: unexpected %q", fs.Arg(0))
	}
	o.results = *results
	return o, o.defaults()
}

// defaults fills in what the scale decides.
func (o *runOptions) defaults() error {
	full := o.scale != "quick"
	if _, err := o.factor(); err != nil {
		return err
	}
	or := func(d *time.Duration, quick, whole time.Duration) {
		if *d == 0 && full {
			*d = whole
		} else if *d == 0 {
			*d = quick
		}
	}
	or(&o.before, 700*time.Millisecond, 10*time.Second)
	or(&o.after, 300*time.Millisecond, 3*time.Second)
	if o.rounds == 0 {
		o.rounds = 1
		if full {
			o.rounds = 5
		}
	}
	if o.rounds < 1 || o.before < 0 || o.after < 0 {
		return errors.New("run: -rounds, -before and -after must be above 0")
	}
	if o.scenarios == "" {
		o.scenarios = quickScenarios
		if full {
			o.scenarios = fullScenarios
		}
	}
	if o.contestants == "" {
		o.contestants = strings.Join(contest.Default, ",")
	}
	return nil
}

func (o *runOptions) factor() (float64, error) {
	switch o.scale {
	case "quick":
		return quickScale, nil
	case "full":
		return 1, nil
	}
	f, err := strconv.ParseFloat(o.scale, 64)
	if err != nil || !(f > 0 && f <= 100) {
		return 0, fmt.Errorf("run: -scale %s: quick, full or a factor above 0 and up to 100 is wanted", o.scale)
	}
	return f, nil
}

// measuring is a run under way.
type measuring struct {
	runOptions
	run         result.Run
	scenarios   []scenario.Scenario
	contestants []contest.Contestant
	programs    contest.Programs
	root        string // of the servers' directories
	store       *store.Store
	lost        error  // why the first trial that could not be put into the results was not
	built       func() // removes the kvd that was built
	bar         *progress
}

func runCommand(ctx context.Context, args []string) error {
	o, err := parseRun(args)
	if err != nil {
		return err
	}
	keepOnWithoutReader()
	m := &measuring{runOptions: o, bar: newProgress(os.Stderr)}
	defer m.bar.clear()
	if err := m.prepare(ctx); err != nil {
		if ctx.Err() != nil {
			return errTooEarly
		}
		return err
	}
	defer m.cleanup()
	// A collection in this process, or a goroutine in the way of the clients, would look like a wait of the server's.
	runtime.GOMAXPROCS(runtime.NumCPU() + 1)
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(1 << 30)
	err = m.measure(ctx)
	if ctx.Err() != nil {
		err = errInterrupted
	}
	if err != nil {
		m.run.Partial = err.Error()
	}
	return errors.Join(err, m.finish())
}

// prepare checks everything that can be checked before anything is measured.
func (m *measuring) prepare(ctx context.Context) (err error) {
	if m.scenarios, err = scenario.Find(m.runOptions.scenarios); err != nil {
		return err
	}
	if m.programs.Self, err = os.Executable(); err != nil {
		return err
	}
	if m.contestants, err = m.findContestants(); err != nil {
		return err
	}
	if m.root, err = scratch.make(m.dir); err != nil {
		return fmt.Errorf("-dir: %w", err)
	}
	if m.store, err = store.Open(m.results); err != nil {
		scratch.remove()
		return err
	}
	if slices.ContainsFunc(m.contestants, contest.Contestant.NeedsKvd) {
		m.bar.step("building kvd", -1)
		if m.programs.Kvd, m.built, err = host.BuildKvd(ctx); err == nil {
			m.contestants, err = m.findContestants()
		}
	}
	if err == nil {
		err = m.describe(ctx)
	}
	if err != nil {
		m.cleanup()
	}
	return err
}

func (m *measuring) findContestants() ([]contest.Contestant, error) {
	var out []contest.Contestant
	if m.runOptions.contestants != "none" {
		var err error
		if out, err = contest.Find(m.programs, m.runOptions.contestants); err != nil {
			return nil, err
		}
	}
	for _, text := range m.start {
		c, err := contest.ParseStart(text)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	for _, text := range m.server {
		c, err := contest.ParseServer(text)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	for i, c := range out {
		if slices.ContainsFunc(out[:i], func(d contest.Contestant) bool { return d.Name == c.Name }) {
			return nil, fmt.Errorf("two contestants are called %q", c.Name)
		}
	}
	if len(out) == 0 {
		return nil, errors.New("no contestants")
	}
	return out, nil
}

func (m *measuring) cleanup() {
	_ = m.store.Close()
	scratch.remove()
	if m.built != nil {
		m.built()
	}
}

// describe writes down what is about to be measured, and starts every contestant
// once: what cannot run is told before an hour has passed.
func (m *measuring) describe(ctx context.Context) error {
	m.run = result.Run{
		ID: store.NewID(time.Now()), Started: time.Now().UTC(), Command: append([]string{"go", "run", "./bench"}, os.Args[1:]...),
		Label: m.label, Version: sourceVersion(), Machine: host.Machine(m.root),
		Config: result.Config{
			Scale: m.scale, Rounds: m.rounds, BeforeSec: m.before.Seconds(), AfterSec: m.after.Seconds(), Seed: m.seed,
		},
	}
	for _, s := range m.scenarios {
		m.run.Config.Scenarios = append(m.run.Config.Scenarios, s.Name)
	}
	for _, c := range m.contestants {
		m.bar.step("starting "+c.Name, -1)
		version, err := m.try(ctx, c)
		if err != nil {
			return fmt.Errorf("contestant %s: %w", c.Name, err)
		}
		m.run.Contestants = append(m.run.Contestants, result.Contestant{
			Name: c.Name, Server: version, Save: strings.Join(c.Save, " "), Note: c.Note, Remote: c.Addr != "",
		})
	}
	return m.store.Begin(&m.run)
}

// sourceVersion is the revision that the program was built from; go run writes none
// down, so there it is that of the source tree around the current directory. "" if
// neither is known.
func sourceVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		set := map[string]string{}
		for _, s := range info.Settings {
			set[s.Key] = s.Value
		}
		if rev := set["vcs.revision"]; len(rev) > 7 {
			if set["vcs.modified"] == "true" {
				return rev[:7] + "-dirty"
			}
			return rev[:7]
		}
	}
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// try starts a contestant, or connects to it, and returns its version.
func (m *measuring) try(ctx context.Context, c contest.Contestant) (string, error) {
	s, dir, err := m.open(ctx, c)
	if err != nil {
		return "", err
	}
	defer func() { s.Stop(); _ = os.RemoveAll(dir) }()
	if s.Remote {
		err = trial.Empty(s)
	}
	return s.Version(), err
}

func (m *measuring) open(ctx context.Context, c contest.Contestant) (s *host.Server, dir string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if c.Addr != "" {
		s, err = host.Attach(ctx, c.Name, c.Addr)
		return s, "", err
	}
	if dir, err = os.MkdirTemp(m.root, "try-"); err != nil {
		return nil, "", err
	}
	s, err = host.Start(ctx, host.Launch{Name: c.Name, Bin: c.Bin, Args: c.Args, Peer: c.Peer, Dir: dir})
	return s, dir, err
}

// sized returns what a scenario measures at the scale of the run.
func (m *measuring) sized(s scenario.Scenario) []scenario.Scenario {
	factor, _ := m.factor() // was checked
	if m.rate >= 0 {
		s.Rate = m.rate
	}
	list := s.Scaled(factor)
	if n := len(list); m.scale == "quick" && n > 3 {
		list = []scenario.Scenario{list[0], list[n/2], list[n-1]}
	}
	return list
}

// measure runs everything. Rounds are the outermost loop and contestants the
// innermost one, so that a change of the machine's mood meets all of them alike.
// Every second round goes backwards: what a trial leaves, a disk still busy or caches,
// does not always meet the same contestant.
func (m *measuring) measure(ctx context.Context) error {
	ceilings, err := m.ceilings(ctx)
	if err != nil {
		return err
	}
	total, done := 0, 0
	for _, s := range m.scenarios {
		total += len(m.sized(s)) * len(m.contestants) * m.rounds
	}
	for round := 1; round <= m.rounds; round++ {
		for _, s := range m.scenarios {
			for _, sized := range m.sized(s) {
				for _, c := range inOrder(m.contestants, round) {
					prefix := fmt.Sprintf("[%d/%d] %s %d keys, %s, round %d: ", done+1, total, s.Name, sized.Keys, c.Name, round)
					t := trial.Run(ctx, trial.Options{
						Scenario: sized, Contestant: c, Round: round, Seed: m.seed,
						Warm: min(time.Second, m.before/4), Before: m.before, After: m.after, SampleEvery: sampleEvery,
						Root: m.root, CeilingOps: ceilings[sized.Shape()],
						Progress: func(step string, share float64) { m.bar.step(prefix+step, share) },
					})
					done++
					m.keep(t)
					if ctx.Err() != nil {
						return ctx.Err()
					}
					debug.FreeOSMemory()
				}
			}
		}
	}
	if !m.noApart {
		m.run.Apart, err = apart.Measure(ctx, apart.Options{
			Kvd: m.programs.Kvd, Quick: m.scale != "full", Progress: func(what string) { m.bar.step("taken apart: "+what, -1) },
		})
	}
	return err
}

// inOrder returns the contestants as they come in a round, counted from 1.
func inOrder(list []contest.Contestant, round int) []contest.Contestant {
	list = slices.Clone(list)
	if round%2 == 0 {
		slices.Reverse(list)
	}
	return list
}

// keep adds a trial to the run and to the results, so that a crash loses no other.
// Results that cannot be written end nothing: the run is in memory, and finish
// finds another place for it.
func (m *measuring) keep(t result.Trial) {
	m.run.Trials = append(m.run.Trials, t)
	m.bar.line(report.TrialLine(&t))
	err := m.store.PutTrial(m.run.ID, len(m.run.Trials)-1, &t)
	if err != nil && m.lost == nil {
		m.bar.line(fmt.Sprintf("bench: %v; the run goes on and will be kept elsewhere", err))
		m.lost = err
	}
}

// ceilings measures what the generator can do in each shape of request.
func (m *measuring) ceilings(ctx context.Context) (map[string]float64, error) {
	out := map[string]float64{}
	for _, s := range m.scenarios {
		shape := s.Shape()
		if _, done := out[shape]; done || s.Quiet {
			continue
		}
		m.bar.step("the generator's ceiling: "+shape, -1)
		ops, err := m.ceiling(ctx, s)
		if err != nil {
			return nil, fmt.Errorf("the generator's ceiling: %w", err)
		}
		out[shape] = ops
		m.run.Ceilings = append(m.run.Ceilings, result.Ceiling{Shape: shape, OpsPerSecond: ops})
	}
	return out, nil
}

func (m *measuring) ceiling(ctx context.Context, s scenario.Scenario) (float64, error) {
	server, dir, err := m.open(ctx, contest.Nothing(m.programs))
	if err != nil {
		return 0, err
	}
	defer func() { server.Stop(); _ = os.RemoveAll(dir) }()
	s.Kind, s.Mix, s.Rate = load.Strings, load.WriteOnly, 0
	return load.Ceiling(ctx, s.Load(server.Addr, m.seed))
}

// finish stores and shows the run. If the results cannot be written the run goes
// elsewhere as JSON lines: nothing that was measured is lost.
func (m *measuring) finish() error {
	m.bar.clear()
	m.run.Ended = time.Now().UTC()
	err := m.lost
	if err == nil {
		err = m.store.Finish(&m.run)
	}
	if err != nil {
		err = errors.Join(fmt.Errorf("the results cannot be kept in %s: %w", m.results, err), m.rescue())
	}
	if m.jsonl != "" {
		err = errors.Join(err, writeLines(m.jsonl, &m.run))
	}
	err = errors.Join(err, report.Text(os.Stdout, &m.run))
	if len(m.run.Trials) == 0 {
		return err
	}
	html := m.html
	if html == "" {
		html = filepath.Join(m.results, m.run.ID+".html")
	}
	return errors.Join(err, writeReport(html, &m.run), failures(&m.run))
}

// failures is an error if a trial failed: the exit status tells.
func failures(run *result.Run) error {
	n, first := 0, ""
	for _, t := range run.Trials {
		if t.Error != "" {
			if n++; n == 1 {
				first = fmt.Sprintf("scenario %s, %s: %s", t.Scenario, t.Contestant, t.Error)
			}
		}
	}
	if n == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d trials failed; the first: %s", n, len(run.Trials), first)
}

// rescue writes the run where there may be room: the temporary directory, or
// standard output.
func (m *measuring) rescue() error {
	path := filepath.Join(os.TempDir(), "kvd-bench-"+m.run.ID+".jsonl")
	err := writeLines(path, &m.run)
	if err == nil {
		fmt.Fprintf(os.Stderr, "bench: the run is in %s; bench import %s puts it into the results\n", path, path)
		return nil
	}
	fmt.Fprintf(os.Stderr, "bench: %v; the run follows on standard output as JSON lines\n", err)
	return errors.Join(err, store.WriteJSONL(os.Stdout, &m.run))
}
