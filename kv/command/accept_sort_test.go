package command

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// Lists that are long enough for a window of them to be picked out, and elements that begin alike, or are
// the same but for what is not looked at.
func TestSortLong(t *testing.T) {
	p := newPair(t)
	r := newRand(9)
	push := func(key string, n int, elem func(i int) string) {
		args := []string{"RPUSH", key}
		for i := range n {
			args = append(args, elem(i))
		}
		p.same(args...)
	}
	push("numbers", 3000, func(i int) string { return strconv.Itoa(i * 7919 % 3001) })
	push("floats", 1000, func(int) string {
		return []string{"1e3", "1000", "-0", "0", "0.0", "-1.5", "inf", "-inf", "1e-320", "7"}[r.IntN(10)]
	})
	push("texts", 1000, func(int) string {
		return []string{"", "member", "member\x00", "\x00", "\x80", "12", "-12"}[r.IntN(7)] + strconv.Itoa(r.IntN(30))
	})
	push("few", 6, func(i int) string { return strconv.Itoa(i) })
	for i := range 3000 {
		if i%3 > 0 {
			p.same("SET", fmt.Sprint("w", i), strconv.Itoa(i*31%3001))
			p.same("HSET", fmt.Sprint("h", i), "f", fmt.Sprint("value", i*17%3001))
		}
	}
	for _, line := range []string{
		"numbers", "numbers ALPHA", "numbers BY w* LIMIT 1100 500", "numbers BY h*->f ALPHA LIMIT 1100 50",
		"numbers BY w* GET # GET h*->f LIMIT 2500 9", "floats", "texts ALPHA", "few BY none*", "few BY none* ALPHA",
	} {
		for _, order := range []string{"", " DESC"} {
			for _, limit := range []string{"", " LIMIT 0 10", " LIMIT 5 0", " LIMIT 100 20", " LIMIT 990 100", " LIMIT 5000 1"} {
				if strings.Contains(line, "LIMIT") && limit != "" || strings.HasPrefix(line, "texts") {
					continue
				}
				p.line("SORT " + line + order + limit)
			}
			// What is stored is sorted by all bytes; else elements that differ behind a zero byte are equal.
			p.line("SORT " + line + order + " STORE d")
			p.same("DEBUG", "DIGEST-VALUE", "d")
		}
	}
}
