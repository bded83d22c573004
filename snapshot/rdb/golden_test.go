package rdb

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gomodule/redigo/redis"
)

// rewrite makes the files in testdata anew:
//
//	go test ./snapshot/rdb -run TestGolden -rewrite
//
// Each is the dump of a redis-server after the commands of its golden.
var rewrite = flag.Bool("rewrite", false, "make testdata/*.rdb anew by redis-server")

// golden is a file in testdata: how it was made, and what must be found in it.
type golden struct {
	name    string
	args    []string // of redis-server
	entries []entry
	more    [][]any // further commands
	other   Type    // the type of the one key, if it is no string
	refused string  // the error, up to the offset; "" if all can be read
	idle    bool
	freq    bool
}

var goldens = []golden{
	{name: "strings", entries: goldenEntries(5000)},
	{name: "plain", args: []string{"--rdbcompression", "no", "--rdbchecksum", "no"}, entries: goldenEntries(300)},
	{name: "lru", args: []string{"--maxmemory-policy", "allkeys-lru"}, entries: goldenEntries(300), idle: true},
	{name: "lfu", args: []string{"--maxmemory-policy", "allkeys-lfu"}, entries: goldenEntries(300), freq: true},
	{name: "empty"},
	{name: "hash", args: []string{"--hash-max-listpack-entries", "0"}, more: [][]any{{"HSET", "foo", "f", "v"}},
		other: TypeHash},
	{name: "hash-listpack", more: [][]any{{"HSET", "foo", "f", "v"}}, other: TypeHashListpack},
	{name: "list", more: [][]any{{"RPUSH", "foo", "a", "b"}}, other: TypeListQuicklist2},
	{name: "set", more: [][]any{{"SADD", "foo", "a", "b"}}, other: TypeSet},
	{name: "intset", more: [][]any{{"SADD", "foo", "1", "2"}}, other: TypeSetIntset},
	{name: "zset", args: []string{"--zset-max-listpack-entries", "0"}, more: [][]any{{"ZADD", "foo", "1.5", "a"}},
		other: TypeZset2},
	{name: "zset-listpack", more: [][]any{{"ZADD", "foo", "1.5", "a"}}, other: TypeZsetListpack},
	{name: "stream", more: [][]any{{"XADD", "foo", "1-1", "f", "v"}}, other: TypeStreamListpacks2},
	{name: "function", more: [][]any{{"FUNCTION", "LOAD", "#!lua name=lib\nredis.register_function('f', function() return 1 end)"}},
		refused: `unsupported function library (FUNCTION2) (245)`},
}

// goldenEntries are the edge entries whose key and value have at most that many bytes.
func goldenEntries(maxValue int) []entry {
	var list []entry
	for _, x := range edgeEntries() {
		if len(x.key)+len(x.value) <= maxValue {
			list = append(list, x)
		}
	}
	return list
}

// make writes the golden's file by a redis-server.
func (g *golden) make(t *testing.T, path string) {
	dir := t.TempDir()
	c := startRedis(t, dir, g.args...)
	for _, x := range g.entries {
		do(t, c, "SELECT", x.db)
		if x.expireAtMs != 0 {
			do(t, c, "SET", x.key, x.value, "PXAT", x.expireAtMs)
		} else {
			do(t, c, "SET", x.key, x.value)
		}
	}
	for _, args := range g.more {
		do(t, c, args[0].(string), args[1:]...)
	}
	if _, err := redis.String(c.Do("SAVE")); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(dir, "dump.rdb"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, file, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestGolden(t *testing.T) {
	for _, g := range goldens {
		t.Run(g.name, func(t *testing.T) {
			path := filepath.Join("testdata", g.name+".rdb")
			if *rewrite {
				g.make(t, path)
			}
			file, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if g.other != TypeString {
				all, err := valuesOf(t, NewDecoder(bytes.NewReader(file), DecoderOptions{}))
				if v := all["0/foo"]; err != nil || v == nil || v.typ != g.other || len(all) != 1 {
					t.Fatalf("%+v, %v", all, err)
				}
				return
			}
			got, aux, err := decodeEntries(bytes.NewReader(file), DecoderOptions{})
			var ue *UnsupportedError
			switch {
			case g.refused == "" && err != nil:
				t.Fatal(err)
			case g.refused != "" && (!errors.As(err, &ue) || !strings.HasPrefix(err.Error(), g.refused+" at offset ")):
				t.Fatalf("%v, want %q", err, g.refused)
			}
			compareSorted(t, got, g.entries)
			if !strings.Contains(aux, "redis-ver=7.0.15 redis-bits=64 ctime=") {
				t.Errorf("metadata %q", aux)
			}
			text := eventText(bytes.NewReader(file), DecoderOptions{})
			if n := strings.Count(text, " idle "); (n == len(got) && n > 0) != g.idle {
				t.Errorf("%d idle times", n)
			}
			if n := strings.Count(text, " freq "); (n == len(got) && n > 0) != g.freq {
				t.Errorf("%d frequencies", n)
			}
		})
	}
}
