// Package config is kvd's configuration: the directives, the redis.conf syntax, and CONFIG GET, SET and REWRITE.
//
// A directive is a row of the tables in table.go and table_later.go: its name, type, range, default and class. The class
// says what kvd does with it:
//
//	Honoured  it does what Redis' documentation says
//	Harmless  it is accepted and has no effect; a line for the log says so (see Notices)
//	Refused   without it data would be lost, access opened or a limit lifted, and kvd does not have it yet: set to
//	          anything but its inactive default it stops the start and fails CONFIG SET
//
// Everything that users type and read follows Redis 7.0: names, aliases, units, error texts, CONFIG GET's formatting.
//
// The values stand in an immutable slice behind an atomic pointer, so that getters never wait. Load runs once, before
// anything else uses the Config. Beside the standard library the package imports kv/internal/glob and the parser of
// crontab expressions only. It opens nothing but configuration files (and the log file once, to see that it can) and never
// changes the working directory: "dir" is kept as an absolute path, and whoever owns the process follows it.
package config

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"kvd/kv/internal/glob"
)

// Config holds the values of all directives. Its methods are safe for concurrent use, but for Load and OnChange, which
// belong to the start.
type Config struct {
	values atomic.Pointer[[]value] // by row of directives; replaced as a whole, never written

	mu       sync.Mutex // serialises SetAs and Rewrite
	appliers map[int][]func() error
	file     string // absolute path of the main configuration file, or ""

	noticeMu sync.Mutex
	notices  []string
}

// value is one directive's value: as CONFIG GET prints it, as a number (booleans are 0 and 1, enumerations their item's
// number, percentages negative), and parsed, for the directives that have more structure.
type value struct {
	text   string
	number int64
	parsed any
}

// Pair is a directive's name and its value, as in CONFIG GET and CONFIG SET.
type Pair struct{ Name, Value string }

// SavePoint is one pair of the save directive: save when at least Changes writes came within Seconds.
type SavePoint struct{ Seconds, Changes int64 }

// OutputLimit bounds the output buffer of a class of clients. 0 means no limit.
type OutputLimit struct {
	Hard, Soft  int64 // bytes
	SoftSeconds int64 // how long Soft may be exceeded
}

// New returns the defaults; "dir" is the present working directory.
func New() *Config {
	c := &Config{appliers: map[int][]func() error{}}
	values := slices.Clone(defaults)
	if wd, err := os.Getwd(); err == nil {
		values[index["dir"]] = value{text: wd}
	}
	c.values.Store(&values)
	return c
}

func (c *Config) value(name string) value {
	i, ok := index[name]
	if !ok {
		panic("config: no directive " + name)
	}
	return (*c.values.Load())[i]
}

// String returns a directive's value as CONFIG GET prints it. Like all getters it takes the lower-case name or alias of
// the tables and panics on any other.
func (c *Config) String(name string) string { return c.value(name).text }

// Int returns the value of a number, in the directive's own unit; memory is in bytes. A percentage (which only
// maxmemory-clients and save-memory-limit can be) is negative. Of an enumeration it is the number of the item in the tables.
func (c *Config) Int(name string) int64 { return c.value(name).number }

// Bool returns the value of a yes/no directive.
func (c *Config) Bool(name string) bool { return c.value(name).number != 0 }

// Strings returns the arguments of a directive that takes several, bind for one. The slice is the caller's.
func (c *Config) Strings(name string) []string { return strings.Fields(c.value(name).text) }

// SavePoints returns the save points in the order in which they were given; none means that kvd never saves by itself.
// The slice is the caller's.
func (c *Config) SavePoints() []SavePoint {
	points, _ := c.value("save").parsed.([]SavePoint)
	return slices.Clone(points)
}

// OutputLimit returns the limits for a class of clients: normal, replica (or slave) or pubsub. It panics on any other.
func (c *Config) OutputLimit(class string) OutputLimit {
	i := clientClass(class)
	if i < 0 {
		panic("config: no client class " + class)
	}
	limits, _ := c.value("client-output-buffer-limit").parsed.(outputLimits)
	return limits[i]
}

// OOMScoreAdjValues returns what oom-score-adj gives to the server, to a replica and to a child that saves.
func (c *Config) OOMScoreAdjValues() [3]int64 {
	adj, _ := c.value("oom-score-adj-values").parsed.([3]int64)
	return adj
}

// Percentiles returns latency-tracking-info-percentiles, each from 0 to 100. The slice is the caller's.
func (c *Config) Percentiles() []float64 {
	p, _ := c.value("latency-tracking-info-percentiles").parsed.([]float64)
	return slices.Clone(p)
}

// File returns the absolute path of the configuration file that Load read, or "" if there is none (defaults, arguments
// or standard input only).
func (c *Config) File() string { return c.file }

// ClassOf returns a directive's class, and false if there is no such directive. Case does not matter.
func ClassOf(name string) (Class, bool) {
	i, ok := lookup(name)
	if !ok {
		return 0, false
	}
	return directives[i].class, true
}

// Sensitive reports whether a directive's value is a secret that logs and MONITOR must not show.
func Sensitive(name string) bool {
	i, ok := lookup(name)
	return ok && directives[i].flags&sensitive != 0
}

// Notices returns the lines for the log (level warning) that were not returned before: about directives without effect,
// after Load and after every SetAs.
func (c *Config) Notices() []string {
	c.noticeMu.Lock()
	defer c.noticeMu.Unlock()
	lines := c.notices
	c.notices = nil
	return lines
}

func (c *Config) notice(format string, args ...any) {
	c.noticeMu.Lock()
	defer c.noticeMu.Unlock()
	c.notices = append(c.notices, fmt.Sprintf(format, args...))
}

// Match answers CONFIG GET: the directives and aliases whose names match one of the patterns, each once. A name without
// glob characters is looked up as it is, in any case, and comes back as it was written; hidden directives match only so.
func (c *Config) Match(patterns []string) []Pair {
	values := *c.values.Load()
	var out []Pair
	seen := map[string]bool{}
	add := func(shown, name string, row int) {
		if !seen[name] {
			seen[name] = true
			out = append(out, Pair{shown, values[row].text})
		}
	}
	for _, p := range patterns {
		if !glob.HasMeta([]byte(p)) {
			if row, ok := lookup(p); ok {
				add(p, strings.ToLower(p), row)
			}
			continue
		}
		for row := range directives {
			d := &directives[row]
			if d.flags&hidden != 0 {
				continue
			}
			for _, name := range []string{d.name, d.alias} {
				if name != "" && glob.Match([]byte(p), []byte(name), true) {
					add(name, name, row)
				}
			}
		}
	}
	return out
}
