// Package scenario holds what is measured as data: which keys, which clients,
// when the save comes. A scenario is a row; nothing else of the program knows
// one by its name.
//
// Sizes are those of scale 1. A run scales the number of keys, never the size of
// a value or the rate of the clients: a pause depends on how much data there is,
// the copies on how much is written.
package scenario

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"kvd/bench/internal/load"
)

// Scenario is one row.
type Scenario struct {
	Name  string // A, B, …, and the mixes YA–YF
	Title string
	Asks  string // the question it answers

	Kind       load.Kind
	Keys       int64 // at scale 1
	Members    int   // of each list or hash
	ValueBytes int

	Conns        int
	Pipeline     int
	Rate         float64 // requests a second of all clients; 0: as fast as they can
	Mix          load.Mix
	Distribution load.Distribution
	Probe        time.Duration // a PING so often, on a connection of its own

	// Sizes are the factors of Keys that are measured, each in a trial; none: 1.
	Sizes []float64
	// SinkBytesPerSecond throttles the directory of the dump; 0: it is as fast as the disk.
	SinkBytesPerSecond int64
	// Reload has the server started again on what it saved, and the time taken.
	Reload bool
	// Quiet: no clients; only the save and the load are timed.
	Quiet bool
}

const probe = 2 * time.Millisecond

// All are the scenarios in the order in which they run.
var All = []Scenario{
	{
		Name: "A", Title: "3M strings of 300 B, 8 writers at 8,000 SET/s",
		Asks: "what clients at an ordinary rate notice of a save",
		Keys: 3_000_000, ValueBytes: 300, Conns: 8, Rate: 8000, Mix: load.WriteOnly, Probe: probe, Reload: true,
	},
	{
		Name: "B", Title: "5M strings of 16 B, overwritten as fast as possible",
		Asks: "what a save costs, and needs in memory, when everything changes under it",
		Keys: 5_000_000, ValueBytes: 16, Conns: 8, Pipeline: 16, Mix: load.WriteOnly, Probe: probe,
	},
	{
		Name: "C", Title: "50,000 lists of 250 elements of 200 B",
		Asks: "the same for many small collections",
		Kind: load.Lists, Keys: 50_000, Members: 250, ValueBytes: 200, Conns: 8, Rate: 8000, Mix: load.WriteOnly, Probe: probe, Reload: true,
	},
	{
		Name: "D", Title: "4 hashes of 1M fields of 64 B",
		Asks: "whether a big collection makes its writers wait during a save",
		Kind: load.Hashes, Keys: 4, Members: 1_000_000, ValueBytes: 64, Conns: 8, Rate: 5000, Mix: load.WriteOnly, Probe: probe, Reload: true,
	},
	{
		Name: "E", Title: "5M strings of 1 KB, 8 writers at 8,000 SET/s",
		Asks: "the same as A with five times the bytes",
		Keys: 5_000_000, ValueBytes: 1024, Conns: 8, Rate: 8000, Mix: load.WriteOnly, Probe: probe, Reload: true,
	},
	{
		Name: "F", Title: "1M strings of 300 B, saved to a disk of 40 MB/s",
		Asks: "whether a slow disk is felt by clients, and what it costs in memory",
		Keys: 1_000_000, ValueBytes: 300, Conns: 8, Rate: 8000, Mix: load.WriteOnly, Probe: probe, SinkBytesPerSecond: 40e6,
	},
	{
		Name: "G", Title: "growth: 250,000 to 4M strings of 300 B, 8 writers at 8,000 SET/s",
		Asks: "how the pause and the extra memory grow with the data",
		Keys: 4_000_000, ValueBytes: 300, Conns: 8, Rate: 8000, Mix: load.WriteOnly, Probe: probe,
		Sizes: []float64{1. / 16, 1. / 8, 1. / 4, 1. / 2, 1},
	},
	{
		Name: "H", Title: "5M strings of 64 B, saved and loaded with no clients",
		Asks: "how long a save and a start take when nothing disturbs them",
		Keys: 5_000_000, ValueBytes: 64, Quiet: true, Reload: true,
	},
	ycsb("A", "half reads, half updates, zipfian", load.MixA, load.Zipfian),
	ycsb("B", "95 % reads, 5 % updates, zipfian", load.MixB, load.Zipfian),
	ycsb("C", "reads, zipfian", load.MixC, load.Zipfian),
	ycsb("D", "95 % reads of the latest, 5 % inserts", load.MixD, load.Latest),
	ycsb("E", "95 % short scans (MGET of neighbours), 5 % inserts, zipfian", load.MixE, load.Zipfian),
	ycsb("F", "half reads, half read-modify-writes, zipfian", load.MixF, load.Zipfian),
}

// ycsb is one of the Yahoo Cloud Serving Benchmark's core workloads (Cooper et
// al., SoCC 2010) with a save in the middle: keys of its distributions, 1 KB values.
func ycsb(name, what string, mix load.Mix, d load.Distribution) Scenario {
	return Scenario{
		Name: "Y" + name, Title: "YCSB " + name + ", 1M strings of 1 KB: " + what,
		Asks: "what readers and writers of a skewed mix notice of a save",
		Keys: 1_000_000, ValueBytes: 1024, Conns: 8, Rate: 8000, Mix: mix, Distribution: d, Probe: probe,
	}
}

// Find returns the scenarios of a comma-separated list of names in any case, in
// that order; "all" is all. An unknown name is an error that lists the known ones.
func Find(list string) ([]Scenario, error) {
	if strings.EqualFold(strings.TrimSpace(list), "all") {
		return All, nil
	}
	var out []Scenario
	for name := range strings.SplitSeq(list, ",") {
		name = strings.ToUpper(strings.TrimSpace(name))
		i := slices.IndexFunc(All, func(s Scenario) bool { return s.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("unknown scenario %q; there are %s, and all", name, strings.Join(Names(), ", "))
		}
		if !slices.ContainsFunc(out, func(s Scenario) bool { return s.Name == name }) {
			out = append(out, All[i])
		}
	}
	return out, nil
}

// Names returns the names of all scenarios.
func Names() []string {
	var out []string
	for _, s := range All {
		out = append(out, s.Name)
	}
	return out
}

// minKeys is what is left of a scenario at the smallest scale.
const minKeys = 1000

// Scaled returns the numbers of keys that the scenario measures at a scale, in
// rising order. Collections keep their number and lose members instead, when
// there are few of them.
func (s Scenario) Scaled(scale float64) []Scenario {
	factors := s.Sizes
	if len(factors) == 0 {
		factors = []float64{1}
	}
	var out []Scenario
	for _, f := range factors {
		sized := s
		if s.Keys < minKeys {
			sized.Members = max(minKeys, int(float64(s.Members)*scale*f))
		} else {
			sized.Keys = max(minKeys, int64(float64(s.Keys)*scale*f))
		}
		if n := len(out); n == 0 || out[n-1].Keys != sized.Keys {
			out = append(out, sized)
		}
	}
	return out
}

// DataBytes returns the bytes of all keys, fields and values, without any overhead.
func (s Scenario) DataBytes() int64 { return s.Load("", 0).DataBytes() }

// Load returns the clients of the scenario against a server.
func (s Scenario) Load(addr string, seed uint64) load.Spec {
	return load.Spec{
		Addr: addr, Kind: s.Kind, Keys: s.Keys, Members: s.Members, ValueBytes: s.ValueBytes,
		Conns: max(1, s.Conns), Rate: s.Rate, Pipeline: max(1, s.Pipeline), Mix: s.Mix, Distribution: s.Distribution,
		ProbeEvery: s.Probe, Seed: seed,
	}
}

// Commands returns the commands that a server must know to take part.
func (s Scenario) Commands() []string {
	switch {
	case s.Kind == load.Lists:
		return []string{"RPUSH", "LSET"}
	case s.Kind == load.Hashes:
		return []string{"HSET"}
	case s.Mix.Scan > 0:
		return []string{"SET", "MGET"}
	}
	return []string{"SET", "GET"}
}

// Shape names what the generator's ceiling depends on.
func (s Scenario) Shape() string {
	return fmt.Sprintf("%d connections, pipeline %d, %d B", max(1, s.Conns), max(1, s.Pipeline), s.ValueBytes)
}
