//go:build linux

package load

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// Spec is what the clients shall do. Items are what distributions choose from:
// the keys, or for Lists and Hashes every member of every key.
type Spec struct {
	Addr       string        // host:port
	Kind       Kind          // of the keys: which commands are sent
	Keys       int64         // key:0000000000 on; at least 1
	ValueBytes int           // of each value, 0 to MaxValueBytes
	Members    int           // of each list or hash, at least 1; nothing for Strings
	Values     ValueKind     // what values are made of
	Conns      int           // connections, 1 to MaxConns; 0 is 1
	Rate       float64       // requests per second of all connections together; 0 is the closed loop
	Pipeline   int           // closed loop: requests in one write, 1 to MaxPipeline; 0 is 1
	Mix        Mix           // what is asked for; Fill does without
	ProbeEvery time.Duration // between PINGs on a connection of its own; 0 is none

	Distribution Distribution // of the items in requests
	Seed         uint64       // the same seed makes the same requests
}

// The limits of a Spec.
const (
	MaxConns      = 10_000
	MaxPipeline   = 4096
	MaxValueBytes = 64 << 20
	maxItems      = int64(9e9) // keys and fields have ten digits
	maxRate       = 1e8
)

// KeyBytes is the length of every key: "key:" and ten digits.
const KeyBytes = 14

// FieldBytes is the length of every field of a hash: "field:" and ten digits.
const FieldBytes = 16

// Kind is the type of the keys.
type Kind int

// Kinds of keys and what is sent for them: to fill, to overwrite and to read.
const (
	Strings Kind = iota // SET; SET; GET
	Lists               // RPUSH of 250; LSET (insert: LPUSH with LTRIM to Members); LINDEX
	Hashes              // HSET of 250; HSET (insert: of a new field); HGET
)

func (k Kind) String() string { return nameOf([]string{"strings", "lists", "hashes"}, int(k)) }

// ValueKind is what values are made of. No two requests send the same value.
type ValueKind int

// Kinds of values.
const (
	Random ValueKind = iota // cannot be compressed
	Text                    // JSON-like; shrinks to well under two thirds
)

func (v ValueKind) String() string { return nameOf([]string{"random", "text"}, int(v)) }

// Distribution is how items are chosen.
type Distribution int

// Distributions. Zipfian and Latest are those of YCSB (theta 0.99, after Gray et
// al., "Quickly generating billion-record synthetic databases"). Uniform,
// Zipfian and Sequential choose among the items of the fill; only Latest knows
// of the keys that inserts have added since.
const (
	Uniform    Distribution = iota
	Zipfian                 // scrambled: the popular items lie anywhere
	Latest                  // the newest item is the most popular one
	Sequential              // one after the other, from the first again at the end
)

func (d Distribution) String() string {
	return nameOf([]string{"uniform", "zipfian", "latest", "sequential"}, int(d))
}

func nameOf(names []string, i int) string {
	if i < 0 || i >= len(names) {
		return fmt.Sprintf("unknown (%d)", i)
	}
	return names[i]
}

// Mix is the shares of requests; they need not add up to 1.
//
// A scan is one command that reads a run of 1 to 100 (uniform) items by number:
// MGET, LRANGE or HMGET, since strings have no order to scan. RMW reads an item
// and, when the reply has come, overwrites it on the same connection; both parts
// are recorded as what they are, from their own send times, and the whole as
// "rmw", from when the read was due. An insert SETs a key after the last one;
// for lists it is LPUSH and LTRIM in one write, for hashes HSET of a new field.
type Mix struct {
	Name                            string
	Read, Update, Insert, Scan, RMW float64
}

// The core workloads of YCSB, and overwriting only. YCSB combines A, B, C, E
// and F with Zipfian and D with Latest; Spec.Distribution is set apart.
var (
	MixA      = Mix{Name: "A", Read: 0.5, Update: 0.5}
	MixB      = Mix{Name: "B", Read: 0.95, Update: 0.05}
	MixC      = Mix{Name: "C", Read: 1}
	MixD      = Mix{Name: "D", Read: 0.95, Insert: 0.05}
	MixE      = Mix{Name: "E", Scan: 0.95, Insert: 0.05}
	MixF      = Mix{Name: "F", Read: 0.5, RMW: 0.5}
	WriteOnly = Mix{Name: "write-only", Update: 1}
	ReadOnly  = Mix{Name: "read-only", Read: 1}
)

func (m Mix) parts() []float64 { return []float64{m.Read, m.Update, m.Insert, m.Scan, m.RMW} }

// Items is the number of items: keys, or members of all keys.
func (s Spec) Items() int64 {
	if s.Kind == Strings {
		return s.Keys
	}
	return s.Keys * int64(s.Members)
}

// DataBytes is the length of all keys, fields and values after Fill, without
// any overhead.
func (s Spec) DataBytes() int64 {
	n := s.Keys*KeyBytes + s.Items()*int64(s.ValueBytes)
	if s.Kind == Hashes {
		n += s.Items() * FieldBytes
	}
	return n
}

// check returns the Spec with its defaults, or what is wrong with it.
func (s Spec) check(withMix bool) (Spec, error) {
	if s.Conns == 0 {
		s.Conns = 1
	}
	if s.Pipeline == 0 {
		s.Pipeline = 1
	}
	if s.Kind == Strings {
		s.Members = 1
	}
	bad := func(format string, args ...any) (Spec, error) {
		return s, fmt.Errorf("load: "+format, args...)
	}
	switch {
	case s.Addr == "":
		return s, errors.New("load: no address")
	case s.Kind < Strings || s.Kind > Hashes:
		return bad("kind of keys %d is unknown", s.Kind)
	case s.Values < Random || s.Values > Text:
		return bad("kind of values %d is unknown", s.Values)
	case s.Distribution < Uniform || s.Distribution > Sequential:
		return bad("distribution %d is unknown", s.Distribution)
	case s.Keys < 1 || s.Members < 1 || s.Keys > maxItems/int64(s.Members):
		return bad("%d keys of %d members: each must be at least 1, and all together at most %d", s.Keys, s.Members, maxItems)
	case s.ValueBytes < 0 || s.ValueBytes > MaxValueBytes:
		return bad("values of %d bytes: 0 to %d are possible", s.ValueBytes, MaxValueBytes)
	case s.Conns < 0 || s.Conns > MaxConns:
		return bad("%d connections: 1 to %d are possible", s.Conns, MaxConns)
	case s.Pipeline < 0 || s.Pipeline > MaxPipeline:
		return bad("a pipeline of %d: 1 to %d are possible", s.Pipeline, MaxPipeline)
	case !(s.Rate >= 0 && s.Rate <= maxRate):
		return bad("a rate of %g: 0 to %g are possible", s.Rate, float64(maxRate))
	case s.ProbeEvery < 0 || s.ProbeEvery > 0 && s.ProbeEvery < minProbe:
		return bad("a probe every %v: at least %v", s.ProbeEvery, minProbe)
	}
	if !withMix {
		return s, nil
	}
	var sum float64
	for _, p := range s.Mix.parts() {
		sum += p
	}
	if !(sum > 0) || math.IsInf(sum, 0) || slices.Min(s.Mix.parts()) < 0 {
		return bad("mix %q: its shares must be at least 0, and one above", s.Mix.Name)
	}
	return s, nil
}

const minProbe = 10 * time.Microsecond
