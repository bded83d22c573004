// Package result is what the benchmark program measures, as data: a Run holds
// the trials of contestants in scenarios, a Trial its windows, series, save and
// load. Everything that prints, draws, stores or compares reads these types,
// and the named figures of metrics.go; nothing else knows both the measuring and
// the showing.
//
// Durations are seconds as float64 with the unit last in the name, sizes are
// bytes. A figure that was not measured is absent: a nil pointer, an empty map
// or slice, never a zero that looks measured.
//
// The package imports nothing of the project.
package result

import "time"

// Run is one invocation of the program.
type Run struct {
	ID      string    `json:"id"` // sorts by time: 20261122T031500Z-1a2b
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended"`
	Command []string  `json:"command"` // what repeats it
	Label   string    `json:"label,omitempty"`
	Version string    `json:"version"` // of kvd: revision of the source
	Partial string    `json:"partial,omitempty"`
	Machine Machine   `json:"machine"`
	Config  Config    `json:"config"`

	Contestants []Contestant `json:"contestants"`
	Ceilings    []Ceiling    `json:"ceilings,omitempty"`
	Trials      []Trial      `json:"trials"`
	Apart       *Apart       `json:"apart,omitempty"`
}

// Machine is where a run took place.
type Machine struct {
	Kernel          string `json:"kernel"`
	Arch            string `json:"arch"`
	CPU             string `json:"cpu"`
	Cores           int    `json:"cores"`
	MemoryBytes     int64  `json:"memory_bytes"`
	HugePages       string `json:"huge_pages"` // transparent_hugepage/enabled: always, madvise, never
	HugeDefrag      string `json:"huge_defrag"`
	Filesystem      string `json:"filesystem"` // of the data directories
	Go              string `json:"go"`
	FreeMemoryBytes int64  `json:"free_memory_bytes"` // MemAvailable at the start
	Load1           string `json:"load1"`             // load average at the start
}

// Config is what a run was asked for.
type Config struct {
	Scale     string   `json:"scale"` // "quick", "full" or a factor
	Scenarios []string `json:"scenarios"`
	Rounds    int      `json:"rounds"`
	BeforeSec float64  `json:"before_sec"`
	AfterSec  float64  `json:"after_sec"`
	Seed      uint64   `json:"seed"`
}

// Contestant is a server under test and how it saves.
type Contestant struct {
	Name   string `json:"name"`             // unique in the run: fork, pebble-sync, redis-server
	Server string `json:"server"`           // "kvd 1.2", "redis 7.0.15", "pebble v2.1.7"
	Save   string `json:"save"`             // the command: BGSAVE FORK
	Note   string `json:"note,omitempty"`   // "write-ahead log on, NoSync, cache 256 MB"
	Remote bool   `json:"remote,omitempty"` // not started here: no memory, no CPU, no load
}

// Ceiling is what the generator can do, measured against a server that does
// nothing, in the request shape of a scenario.
type Ceiling struct {
	Shape        string  `json:"shape"` // "8 connections, pipeline 1, 300 B"
	OpsPerSecond float64 `json:"ops_per_second"`
}

// Trial is one contestant in one scenario at one size, once.
type Trial struct {
	Scenario   string `json:"scenario"`   // "A"
	Contestant string `json:"contestant"` // Contestant.Name
	Round      int    `json:"round"`      // from 1
	Keys       int64  `json:"keys"`
	ValueBytes int    `json:"value_bytes"`
	DataBytes  int64  `json:"data_bytes"` // keys and values, without overhead

	Error   string `json:"error,omitempty"`   // why it has no, or not all, figures
	Skipped string `json:"skipped,omitempty"` // why it does not apply to this contestant
	Partial bool   `json:"partial,omitempty"` // interrupted; what was measured until then is there

	TargetRate     float64 `json:"target_rate,omitempty"` // paced: requests a second asked for; 0 = closed loop
	CeilingOps     float64 `json:"ceiling_ops,omitempty"`
	GeneratorBound bool    `json:"generator_bound,omitempty"` // closed loop above 80 % of the ceiling

	FillSec float64 `json:"fill_sec,omitempty"`
	// SettleSec is for how long the server was waited for after the fill, until it
	// had next to nothing left to do; 30 means that it still had.
	SettleSec float64 `json:"settle_sec,omitempty"`
	// Windows by phase: "before", "during", "after", and the pair of equal
	// length "idle" and "save": the last part of before and the first part of
	// during, each as long as the shorter of the two. During goes on for up to 0.2 s
	// after the save: a reply counts when it comes.
	// During and save count also what was due in them and was answered later.
	Windows map[string]*Window `json:"windows,omitempty"`
	Series  *Series            `json:"series,omitempty"`
	Memory  []MemorySample     `json:"memory,omitempty"`
	Save    *Save              `json:"save,omitempty"`
	Load    *Load              `json:"load,omitempty"`
	// LagP99Usec is how late the generator itself sent paced requests (99th
	// percentile of the whole trial): latencies below it say nothing of the server.
	// That of a window is its operation "lag".
	LagP99Usec *float64 `json:"lag_p99_usec,omitempty"`
}

// Window is what all clients together saw between two moments of a trial.
type Window struct {
	FromSec       float64              `json:"from_sec"` // since the generator's start
	ToSec         float64              `json:"to_sec"`
	OpsPerSecond  float64              `json:"ops_per_second"`  // without probes
	LongestGapSec float64              `json:"longest_gap_sec"` // longest time in which no client got any reply
	Ops           map[string]Latencies `json:"ops"`             // by operation: set, get, ping, write (all that change data), …; lag: how late the generator sent
}

// Latencies are the latencies of one operation, microseconds. A paced request
// counts from when it should have been sent.
type Latencies struct {
	Count     int64   `json:"count"`
	MeanUsec  float64 `json:"mean_usec"`
	P50Usec   float64 `json:"p50_usec"`
	P90Usec   float64 `json:"p90_usec"`
	P99Usec   float64 `json:"p99_usec"`
	P999Usec  float64 `json:"p999_usec"`
	P9999Usec float64 `json:"p9999_usec"`
	MaxUsec   float64 `json:"max_usec"`
	// Histogram is an HdrHistogram of nanoseconds, V2 compressed, base64.
	Histogram string `json:"histogram,omitempty"`
}

// Series are figures per slot of StepSec from the generator's start.
type Series struct {
	StepSec float64              `json:"step_sec"` // 0.1
	Ops     map[string]*OpSeries `json:"ops"`
}

// OpSeries has one element per slot; latencies are microseconds, 0 where nothing
// was answered.
type OpSeries struct {
	Count   []int64   `json:"count"`
	P50Usec []float64 `json:"p50_usec"`
	P99Usec []float64 `json:"p99_usec"`
	MaxUsec []float64 `json:"max_usec"`
}

// MemorySample is the memory and CPU of a server and its children at a moment.
type MemorySample struct {
	AtSec         float64 `json:"at_sec"`
	PssBytes      int64   `json:"pss_bytes"` // process tree
	RssBytes      int64   `json:"rss_bytes"` // server alone
	PTEBytes      int64   `json:"pte_bytes"` // page tables, process tree
	HugeBytes     int64   `json:"huge_bytes"`
	CopiedBytes   int64   `json:"copied_bytes"`   // private dirty memory of the children: what the kernel copied
	DeferredBytes int64   `json:"deferred_bytes"` // as INFO tells, kvd only
	MinorFaults   int64   `json:"minor_faults"`   // server, since its start
	ChildFaults   int64   `json:"child_faults"`
	ServerCPUSec  float64 `json:"server_cpu_sec"`
	ChildCPUSec   float64 `json:"child_cpu_sec"`
	Children      int     `json:"children,omitempty"` // processes below the server that were alive
}

// Save is one background save.
type Save struct {
	Command string  `json:"command"`
	AtSec   float64 `json:"at_sec"` // since the generator's start
	EndSec  float64 `json:"end_sec"`
	Seconds float64 `json:"seconds"`
	Error   string  `json:"error,omitempty"`

	Bytes         int64    `json:"bytes"`                    // of what was written
	SharedBytes   int64    `json:"shared_bytes,omitempty"`   // in the save without being written: hard links, as pebble's checkpoints have
	HeldUsec      *float64 `json:"held_usec,omitempty"`      // writers held, as INFO tells; of Redis and Valkey, whose thread forks, the clone
	CloneUsec     *float64 `json:"clone_usec,omitempty"`     // of the fork, as INFO tells
	ReportedExtra *int64   `json:"reported_extra,omitempty"` // extra memory, as INFO tells (copy-on-write for Redis)

	// From /proc; nil for a remote server.
	ExtraMemoryBytes *int64   `json:"extra_memory_bytes,omitempty"` // largest Pss of the tree during the save, above the one before it
	CopiedBytes      *int64   `json:"copied_bytes,omitempty"`       // largest
	DeferredBytes    *int64   `json:"deferred_bytes,omitempty"`     // largest
	PTEBeforeBytes   *int64   `json:"pte_before_bytes,omitempty"`
	PTEPeakBytes     *int64   `json:"pte_peak_bytes,omitempty"`
	MinorFaults      *int64   `json:"minor_faults,omitempty"` // of the server, during the save
	ChildFaults      *int64   `json:"child_faults,omitempty"`
	ServerCPUSec     *float64 `json:"server_cpu_sec,omitempty"`
	ChildCPUSec      *float64 `json:"child_cpu_sec,omitempty"`
}

// Load is the start of a server on what the save wrote.
type Load struct {
	Seconds float64 `json:"seconds"` // from the start of the process until it answers
	Keys    int64   `json:"keys"`
	Error   string  `json:"error,omitempty"`
}

// Apart is the section "fork against thread, taken apart": textbook claims with
// a number from this machine beside each.
type Apart struct {
	Facts []Fact `json:"facts"`
	// Tables: cost against size, for the charts.
	Tables []Table `json:"tables,omitempty"`
}

// Fact is one claim and what was measured of it.
type Fact struct {
	Topic string   `json:"topic"` // creation, page tables, faults, isolation, communication
	Claim string   `json:"claim"`
	What  string   `json:"what"` // what was measured, exactly
	Value *float64 `json:"value,omitempty"`
	Unit  string   `json:"unit,omitempty"`
	Text  string   `json:"text,omitempty"` // the finding, where it is no number; or a remark
}

// Table is a small table of figures; the first column is the abscissa.
type Table struct {
	Title   string      `json:"title"`
	Columns []string    `json:"columns"` // with units
	Rows    [][]float64 `json:"rows"`
}
