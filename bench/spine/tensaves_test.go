//go:build linux

package spine

import (
	"context"
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"kvd/bench/internal/host"
	"kvd/bench/internal/load"
	"kvd/bench/internal/result"
)

const (
	savesInARow   = 10
	tenSavesValue = 100 // bytes of each value
	tenSavesRate  = 8000.0
	tenSavesConns = 8
	writersWarm   = 500 * time.Millisecond // of writing before BGSAVE
	writersLeast  = 200 * time.Millisecond // from BGSAVE on, however short the save is
)

// tenSavesKeys are the sizes unless KVD_BENCH_KEYS names others.
var tenSavesKeys = []int{1_000_000, 5_000_000, 20_000_000}

// saved is one save of the ten. What the server does not tell is NaN.
type saved struct {
	cutUsec, cloneUsec float64 // cloneUsec is NaN where nothing was cloned
	seconds, verify    float64 // seconds until the dump stood in place; of them those of the verification
	extra, reserve     float64 // bytes: the largest extra memory; the reserve just after the cut, less what writers have taken
	faults             float64 // of pages, while the child lived
	rate, longestMsec  float64 // SETs a second from the cut to the end, the longest of them
	rest               rest    // afterwards
}

// tenSaves are the saves in a row of one engine at one size.
type tenSaves struct {
	keys         int
	engine       string
	emptyReserve float64 // bytes, of the server before it was filled
	before       rest
	saves        []saved
}

// BenchmarkTenSaves saves ten times in a row with each engine, with writes during
// each save, at several sizes. See the package comment.
func BenchmarkTenSaves(b *testing.B) {
	if os.Getenv("KVD_BENCH_SCALE") == "" {
		b.Skip("KVD_BENCH_SCALE=1 saves up to 20 million keys twenty times, which takes a quarter of an hour")
	}
	scale, _ := environment(b)
	var all []tenSaves
	for _, keys := range tenSavesSizes(b, scale) {
		b.Run(strconv.Itoa(keys), func(b *testing.B) {
			if b.N > 1 {
				return // -benchtime does not repeat it
			}
			h := kvdHarness(b, scale)
			h.mustFit(keys)
			ten := measureTenSaves(h, keys, savesInARow)
			fmt.Printf("\n%s\n", tenSavesTable(ten))
			all = append(all, ten...)
		})
	}
	if len(all) > 0 {
		fmt.Printf("\n%s\n%s\n%s\n", kvdHarness(b, scale).setting(), tenSavesTable(all), markdown(tenSavesGates(all)))
	}
}

// tenSavesSizes reads KVD_BENCH_KEYS.
func tenSavesSizes(tb testing.TB, scale float64) (sizes []int) {
	list := os.Getenv("KVD_BENCH_KEYS")
	if list == "" {
		h := &harness{scale: scale}
		for _, n := range tenSavesKeys {
			sizes = append(sizes, h.count(n))
		}
		return sizes
	}
	for text := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || n < 1 {
			tb.Fatalf("KVD_BENCH_KEYS=%q: numbers above 0 are wanted, with commas between them", list)
		}
		sizes = append(sizes, n)
	}
	slices.Sort(sizes)
	return slices.Compact(sizes)
}

// kvdHarness is for measurements without redis-server.
func kvdHarness(tb testing.TB, scale float64) *harness {
	tb.Helper()
	h := &harness{TB: tb, scale: scale, rounds: 1}
	var err error
	h.kvdBin, err = buildKvd()
	h.must(err)
	return h
}

// policyArgs are the arguments of the server that KVD_BENCH_POLICY asks for.
func policyArgs() []string {
	if policy := os.Getenv("KVD_BENCH_POLICY"); policy != "" {
		return []string{"--fork-write-policy", policy}
	}
	return nil
}

// mustFit skips a size that the memory would not hold with all of it copied.
func (h *harness) mustFit(keys int) {
	h.Helper()
	const overhead = 90 // of a key in redis-server, the largest that may be measured
	need := 2 * int64(keys) * (load.KeyBytes + tenSavesValue + overhead)
	if free := host.Machine(tempRoot).FreeMemoryBytes; free > 0 && free < need {
		h.Skipf("%d keys may need %d MB of memory, %d MB are free", keys, need/1e6, free/1e6)
	}
}

// measureTenSaves fills a fresh server and saves count times with each engine.
func measureTenSaves(h *harness, keys, count int) (all []tenSaves) {
	h.Helper()
	// The clients' loop is late when it has to wait for a P.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(runtime.NumCPU() + 1))
	s := h.kvd(h.dir(), policyArgs()...)
	defer s.Kill()
	empty := s.atRest()
	spec := load.Spec{Addr: s.Addr, Keys: int64(keys), ValueBytes: tenSavesValue, Conns: tenSavesConns,
		Rate: tenSavesRate, Mix: load.WriteOnly, Seed: 1}
	ctx, cancel := limit()
	defer cancel()
	h.must(load.Fill(ctx, spec, nil))
	if n := dbsize(s); n != float64(keys) {
		h.Fatalf("%d keys were sent, the server has %.0f", keys, n)
	}
	before := s.atRest()
	for _, engine := range engines(s) {
		ten := tenSaves{keys: keys, engine: word(engine), emptyReserve: empty.reserve, before: before}
		printSave(&ten)
		for range count {
			spec.Seed++ // other keys, other values
			one := s.saveUnderWrites(engine, spec)
			ten.saves, before = append(ten.saves, one), one.rest
			printSave(&ten)
		}
		all = append(all, ten)
	}
	return all
}

// engines lists what to save with: the thread first, so that it does not begin with
// what the children left.
func engines(s *server) []string {
	if len(s.methods) == 0 {
		return []string{""}
	}
	return []string{"THREAD", "FORK"}
}

// saveUnderWrites saves while clients write, until the save has ended and the
// server has come to rest. A save that fails is told and has no figures.
func (s *server) saveUnderWrites(engine string, spec load.Spec) saved {
	s.h.Helper()
	gcPercent := debug.SetGCPercent(-1) // a collection makes the clients late
	ctx, cancel := limit()
	defer cancel()
	clients, err := load.Start(ctx, spec)
	s.h.must(err)
	time.Sleep(writersWarm)
	save, reserve := s.saveOnce(ctx, engine, clients)
	time.Sleep(seconds(save.AtSec) + writersLeast - clients.Now())
	recording, err := clients.Stop()
	debug.SetGCPercent(gcPercent)
	s.h.must(err)

	info, err := s.Info()
	s.h.must(err)
	one := tell(save, info)
	one.reserve = reserve
	window := recording.Due(seconds(save.AtSec), recording.End())
	one.rate, one.longestMsec = window.OpsPerSecond, window.Ops["set"].MaxUsec/1e3
	if save.Error != "" {
		s.h.Errorf("%d keys, BGSAVE %s: %s", spec.Keys, engine, save.Error)
	} else {
		s.checkSaved(info, spec.Keys)
	}
	one.rest = s.atRest()
	return one
}

// saveOnce saves and waits for the end; reserve is what stood ready just after
// the cut.
func (s *server) saveOnce(ctx context.Context, engine string, clients *load.Generator) (save *result.Save, reserve float64) {
	s.h.Helper()
	command := []string{"BGSAVE"}
	if engine != "" {
		command = append(command, engine)
	}
	saving, err := s.PrepareSave(ctx, command)
	s.h.must(err)
	time.Sleep(clients.NextSlot() - clients.Now()) // what is recorded is told by slots
	s.h.must(saving.Begin(ctx))
	info, err := s.InfoContext(ctx, "memory")
	s.h.must(err)
	save, err = saving.Wait(ctx, clients.Now)
	s.h.must(err)
	return save, number(info, "mem_arena_reserve")
}

// tell takes the figures of a save from what was seen of it and from INFO.
func tell(save *result.Save, info map[string]string) saved {
	one := saved{cutUsec: math.NaN(), cloneUsec: math.NaN(), extra: math.NaN(), seconds: math.NaN(),
		verify: math.NaN(), faults: math.NaN()}
	if save.Error != "" {
		return one
	}
	for _, f := range []struct {
		from *float64
		to   *float64
	}{{save.HeldUsec, &one.cutUsec}, {save.CloneUsec, &one.cloneUsec}} {
		if f.from != nil {
			*f.to = *f.from
		}
	}
	if save.ReportedExtra != nil {
		one.extra = float64(*save.ReportedExtra)
	}
	one.verify = number(info, "rdb_last_verify_seconds")
	if save.CloneUsec != nil {
		one.faults = number(info, "rdb_last_cow_faults")
	}
	if one.seconds = number(info, "rdb_last_save_seconds"); math.IsNaN(one.seconds) {
		one.seconds = save.Seconds
	}
	return one
}

// checkSaved fails the run if the server says that the dump is not what it should be.
func (s *server) checkSaved(info map[string]string, keys int64) {
	s.h.Helper()
	if verified, ok := info["rdb_last_save_verified"]; ok && verified != "yes" {
		s.h.Errorf("rdb_last_save_verified is %q after a save", verified)
	}
	if n := number(info, "rdb_last_save_keys"); !math.IsNaN(n) && n != float64(keys) {
		s.h.Errorf("rdb_last_save_keys is %.0f, the server has %d", n, keys)
	}
}

// number returns a field of INFO, NaN if the server has none.
func number(info map[string]string, field string) float64 {
	n, err := strconv.ParseFloat(info[field], 64)
	if err != nil {
		return math.NaN()
	}
	return n
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
