package command

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// sortLines are the ways to sort that leave nothing open: not even which of several elements with equal
// weights comes first.
func sortLines(key string) (lines []string) {
	for _, by := range []string{"", "BY w*", "BY h*->f", "BY h*->none", "BY none*", "BY w*->f", "BY *", "BY h*->f BY w*"} {
		for _, more := range []string{"", "LIMIT 3 5", "LIMIT 0 -1", "LIMIT 0 1", "LIMIT -2 4", "LIMIT 1000 5", "LIMIT 2 0", "LIMIT 7 40", "LIMIT 250 10", "GET # GET w*"} {
			for _, order := range []string{"", "DESC"} {
				for _, alpha := range []string{"", "ALPHA"} {
					if key != "list" && alpha != "" {
						continue // Redis takes sets and sorted sets in the order of their hash tables
					}
					lines = append(lines, strings.Join([]string{"SORT", key, by, order, alpha, more}, " "), strings.Join([]string{"SORT", key, by, order, alpha, more, "STORE d"}, " "))
				}
			}
		}
	}
	return lines
}

// Elements with equal weights come in the order in which they come in Redis: by number they are ordered by their own
// text; with ALPHA they stay as they were, or lie where Redis' way to find a window has brought them.
func TestSortTies(t *testing.T) {
	p := newPair(t)
	r := newRand(fuzzSeed(t))
	weights := []string{"1", "1", "2", "-1", "0", "-0", "0.0", "1.0", "1e0", " 1", "0x1", "inf", "+inf", "-inf", ""}
	elem := func() string {
		return []string{strconv.Itoa(r.IntN(400)), strconv.Itoa(r.IntN(40) - 20), fmt.Sprintf("e%d", r.IntN(200)), "a\x00" + strconv.Itoa(r.IntN(3)),
			strconv.Itoa(r.IntN(90)) + ".0", "\xff", ""}[r.IntN(7)]
	}
	for round := range max(3, fuzzCount(60)/6) {
		p.both("FLUSHALL")
		rpush, zadd, sadd := []string{"RPUSH", "list"}, []string{"ZADD", "zset"}, []string{"SADD", "set"}
		for i := range 1 + r.IntN([]int{900, 9, 60}[round%3]) {
			e := elem()
			rpush, zadd, sadd = append(rpush, e), append(zadd, strconv.Itoa(i%7), e), append(sadd, e)
			switch r.IntN(4) {
			case 0: // no weight
			case 1:
				p.both("LPUSH", "w"+e, "not a string")
				p.both("HSET", "h"+e, "f", weights[r.IntN(len(weights))], "g", "x")
			default:
				p.both("SET", "w"+e, weights[r.IntN(len(weights))])
				p.both("HSET", "h"+e, "f", weights[r.IntN(len(weights))])
			}
		}
		p.same(rpush...)
		p.same(zadd...)
		p.same(sadd...)
		for _, key := range []string{"list", "zset", "set"} {
			for _, line := range sortLines(key) {
				p.line(line)
				if strings.HasSuffix(line, "STORE d") {
					p.line("LRANGE d 0 -1")
				}
				if t.Failed() {
					t.Fatal("round ", round)
				}
			}
		}
	}
}

// However few rounds the quicksort is allowed, the window is right.
func TestSortWindow(t *testing.T) {
	r := newRand(3)
	for range 300 {
		s := sorter{list: make([]*sortItem, 1+r.IntN(300)), alpha: true, by: true}
		keys := make([]sortKey, len(s.list))
		for i := range keys {
			s.list[i] = &sortItem{text: strconv.AppendInt([]byte("weight"), r.Int64N(200), 10)}
			keys[i] = sortKey{s.number(s.list[i]), uint32(i)}
		}
		sorted := slices.SortedFunc(slices.Values(keys), s.compare)
		from := r.IntN(len(keys))
		to := from + r.IntN(len(keys)-from+1)
		s.quick(keys, from, to, r.IntN(8))
		for i := from; i < to; i++ {
			if s.order(keys[i], sorted[i]) != 0 {
				t.Fatalf("%d elements, window %d to %d: %q at %d, want %q", len(keys), from, to, s.list[keys[i].at].text, i, s.list[sorted[i].at].text)
			}
		}
		slices.SortFunc(keys, s.compare)
		if !slices.Equal(keys, sorted) {
			t.Fatal("elements are lost")
		}
	}
}
