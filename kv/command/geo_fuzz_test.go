package command

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
)

// geoFuzzer makes random commands of the geo group.
type geoFuzzer struct{ *fuzzer }

func (f *geoFuzzer) key() string    { return f.pick("g0", "g1", "g2", "g0", "nokey") }
func (f *geoFuzzer) member() string { return "m" + strconv.Itoa(f.IntN(300)) }

// point returns a position. Some lie close together, some at the edges of the map, some on a grid, so
// that distances are equal.
func (f *geoFuzzer) point() []string {
	digits := func(x float64) string { return strconv.FormatFloat(x, 'f', 6, 64) }
	switch f.IntN(8) {
	case 0:
		return []string{f.pick("180", "-180", "0", "179.999999", "200", "x"), f.pick("85.05112878", "-85.05112878", "0", "85", "86")}
	case 1, 2:
		return []string{digits(13 + f.Float64()), digits(38 + f.Float64())}
	case 3:
		return []string{strconv.Itoa(f.IntN(9)*45 - 180), strconv.Itoa(f.IntN(9)*20 - 80)}
	case 4:
		return []string{digits(f.NormFloat64()), digits(f.NormFloat64())}
	}
	return []string{digits(f.Float64()*360 - 180), digits(f.Float64()*170 - 85)}
}

func (f *geoFuzzer) unit() string {
	return f.pick("m", "km", "KM", "ft", "mi", "km", "km", "km", "foo")
}

func (f *geoFuzzer) length() string {
	switch f.IntN(12) {
	case 0:
		return f.pick("0", "-1", "x", "1e300", "0.001")
	case 1:
		return strconv.Itoa(f.IntN(20000))
	}
	return strconv.FormatFloat(math.Exp(f.Float64()*14-4), 'f', 3, 64)
}

func (f *geoFuzzer) options() []string {
	return f.some([]string{"WITHDIST"}, []string{"WITHCOORD"}, []string{"WITHHASH"}, []string{f.pick("ASC", "DESC")},
		[]string{"COUNT", f.pick("1", "3", "10", "50", "0", "x"), f.pick("ANY", "ASC", "DESC", "ASC")})
}

// stored are the options of commands that store.
func (f *geoFuzzer) stored() []string {
	return f.some([]string{f.pick("ASC", "DESC")}, []string{"COUNT", f.pick("1", "3", "10")})
}

func (f *geoFuzzer) search(args ...string) []string {
	if f.IntN(2) == 0 {
		args = append(args, "FROMMEMBER", f.member())
	} else {
		args = append(append(args, "FROMLONLAT"), f.point()...)
	}
	if f.IntN(2) == 0 {
		return append(args, "BYRADIUS", f.length(), f.unit())
	}
	return append(args, "BYBOX", f.length(), f.length(), f.unit())
}

func (f *geoFuzzer) command() []string {
	join := func(name, key string, more ...string) []string { return append([]string{name, key}, more...) }
	k := f.key()
	switch f.IntN(14) {
	case 0, 1, 2, 3:
		args := join("GEOADD", f.pick("g0", "g1", "g2"), f.some([]string{f.pick("NX", "XX")}, []string{"CH"})...)
		for range 1 + f.IntN(6) {
			args = append(append(args, f.point()...), f.member())
		}
		return args
	case 4:
		return join("GEODIST", k, append([]string{f.member(), f.member()}, f.some([]string{f.unit()})...)...)
	case 5:
		return join(f.pick("GEOPOS", "GEOHASH"), k, f.member(), f.member(), f.member())
	case 6:
		return append(append(append(join(f.pick("GEORADIUS", "GEORADIUS_RO"), k), f.point()...), f.length(), f.unit()), f.options()...)
	case 7:
		return append(join(f.pick("GEORADIUSBYMEMBER", "GEORADIUSBYMEMBER_RO"), k, f.member(), f.length(), f.unit()), f.options()...)
	case 8:
		return append(append(append(join("GEORADIUS", k), f.point()...), f.length(), f.unit(), f.pick("STORE", "STORE", "STOREDIST"), "d"), f.stored()...)
	case 9:
		return append(f.search("GEOSEARCHSTORE", "d", k), append(f.stored(), f.some([]string{"STOREDIST"})...)...)
	case 10:
		return join(f.pick("ZREM", "ZREM", "ZREM", "ZINCRBY"), k, f.member(), f.member())
	case 11:
		if f.IntN(100) == 0 {
			return join("DEL", k)
		}
		return join("ZCARD", "d")
	}
	return append(f.search("GEOSEARCH", k), f.options()...)
}

// closeEnough compares replies whose lines are equal, but for distances: those may differ by a few units in the
// last place of a double, as those of two C libraries do.
func closeEnough(a, b string) bool {
	if a == b {
		return true
	}
	x, y := strings.Split(a, "\r\n"), strings.Split(b, "\r\n")
	if len(x) != len(y) {
		return false
	}
	for i := range x {
		if x[i] == y[i] {
			continue
		}
		f, errF := strconv.ParseFloat(x[i], 64)
		g, errG := strconv.ParseFloat(y[i], 64)
		if errF != nil || errG != nil || math.Abs(f-g) > 0.00011 {
			return false
		}
	}
	return true
}

// TestFuzzGeo sends random commands of the geo group to both servers: 50,000 of them, or 1,000,000 with
// KVD_LONG=1.
func TestFuzzGeo(t *testing.T) {
	for _, limit := range []string{"128", "8"} {
		t.Run(limit, func(t *testing.T) {
			f := &geoFuzzer{&fuzzer{Rand: newRand(fuzzSeed(t))}}
			p := newPair(t)
			p.setLimits(t, "zset-max-listpack-entries", limit)
			changes := p.redisChanges(t)
			for i := range fuzzCount(50_000) / 2 {
				if i%1000 == 0 {
					p.both("HELLO", strconv.Itoa(2+i/1000%2))
				}
				args := f.command()
				ours, theirs := p.both(args...)
				if !closeEnough(ours, theirs) {
					t.Fatalf("command %d: %q\n kvd   %q\n redis %q", i, args, ours, theirs)
				}
				if strings.Contains(fmt.Sprint(args), " d ") && ours[0] == ':' {
					if strings.Contains(fmt.Sprint(args), "STOREDIST") {
						compareDistances(t, p, args)
						p.same("DEL", "d") // their last bits may differ, see closeEnough
					} else {
						p.same("ZRANGE", "d", "0", "-1", "WITHSCORES")
					}
				}
				if t.Failed() {
					t.Fatalf("command %d: %q", i, args)
				}
			}
			if ours, theirs := p.world.e.Store.Changes(), p.redisChanges(t)-changes; ours != theirs {
				t.Errorf("changes: kvd %d, redis %d", ours, theirs)
			}
			exchangeDumps(t, p)
		})
	}
}

// compareDistances compares the distances that were stored.
func compareDistances(t *testing.T, p *pair, args []string) {
	t.Helper()
	ours, theirs := p.both("ZRANGE", "d", "0", "-1", "WITHSCORES")
	if strings.Contains(ours, ",") { // RESP3: each double is a line
		ours, theirs = strings.ReplaceAll(ours, ",", ""), strings.ReplaceAll(theirs, ",", "")
	}
	x, y := lengthless(ours), lengthless(theirs)
	if !closeEnough(x, y) {
		t.Errorf("%q\n kvd   %q\n redis %q", args, ours, theirs)
	}
}

// lengthless leaves the lengths of bulk strings out.
func lengthless(reply string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(reply, "\r\n") {
		if !strings.HasPrefix(line, "$") {
			b.WriteString(line + "\r\n")
		}
	}
	return b.String()
}
