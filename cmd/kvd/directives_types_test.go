//go:build linux

package main

import (
	"strconv"
	"strings"
	"testing"
)

// Observations of the directives about data types; see directives_test.go. Each is seen at the
// start and after CONFIG SET, by its old name too.

func init() {
	for name, see := range map[string]func(t *testing.T){
		"hash-max-listpack-entries": func(t *testing.T) {
			seeEncoding(t, "hash-max-listpack-entries", "hash-max-ziplist-entries", "hashtable", "HSET", "a", "1", "b", "2", "c", "3")
		},
		"hash-max-listpack-value": func(t *testing.T) {
			seeEncoding(t, "hash-max-listpack-value", "hash-max-ziplist-value", "hashtable", "HSET", "field", "value")
		},
		"set-max-intset-entries": func(t *testing.T) {
			seeEncoding(t, "set-max-intset-entries", "", "hashtable", "SADD", "1", "2", "3")
		},
		"set-max-listpack-entries": func(t *testing.T) { seeSize(t, "set-max-listpack-entries", "", "SADD", "a", "b", "c") },
		"set-max-listpack-value":   func(t *testing.T) { seeSize(t, "set-max-listpack-value", "", "SADD", "member") },
		"zset-max-listpack-entries": func(t *testing.T) {
			seeEncoding(t, "zset-max-listpack-entries", "zset-max-ziplist-entries", "skiplist", "ZADD", "1", "a", "2", "b", "3", "c")
		},
		"zset-max-listpack-value": func(t *testing.T) {
			seeEncoding(t, "zset-max-listpack-value", "zset-max-ziplist-value", "skiplist", "ZADD", "1", "member")
		},
		"list-max-listpack-size": func(t *testing.T) {
			seeSize(t, "list-max-listpack-size", "list-max-ziplist-size", "RPUSH", "a", "b", "c")
		},
		"hll-sparse-max-bytes":    seeSparseLimit,
		"stream-node-max-bytes":   func(t *testing.T) { seeStreamNodes(t, "stream-node-max-bytes", "1") },
		"stream-node-max-entries": func(t *testing.T) { seeStreamNodes(t, "stream-node-max-entries", "2") },
	} {
		observed[name] = see
		if old := strings.Replace(name, "listpack", "ziplist", 1); old != name && !strings.HasPrefix(name, "set-") {
			observed[old] = func(t *testing.T) { seeOldName(t, old, name) }
		}
	}
}

// seeOldName sees that a name stands for another; what that does is seen above.
func seeOldName(t *testing.T, old, name string) {
	c := start(t, "--"+old, "3").dial()
	c.want("["+name+" 3]", "CONFIG", "GET", name)
	c.want("OK", "CONFIG", "SET", old, "4")
	c.want("["+name+" 4]", "CONFIG", "GET", name)
}

// eachLimit calls see with the default of a limit and with 2, given at the start, by CONFIG SET and by
// CONFIG SET of the old name.
func eachLimit(t *testing.T, name, alias string, see func(c *conn, low bool)) {
	t.Helper()
	k := start(t, "--"+name, "2")
	see(k.dial(), true)
	k.kill()
	c := start(t).dial()
	see(c, false)
	for _, n := range []string{name, alias} {
		if n == "" {
			continue
		}
		was := strings.TrimSuffix(strings.Fields(c.do("CONFIG", "GET", n))[1], "]")
		c.want("OK", "CONFIG", "SET", n, "2")
		see(c, true)
		c.want("OK", "CONFIG", "SET", n, was)
		see(c, false)
	}
}

// seeEncoding sees the encoding of a value that is too big for a limit of 2.
func seeEncoding(t *testing.T, name, alias, big, command string, args ...string) {
	eachLimit(t, name, alias, func(c *conn, low bool) {
		c.do("DEL", "k")
		c.do(append([]string{command, "k"}, args...)...)
		if got := c.do("OBJECT", "ENCODING", "k"); (got == big) != low {
			t.Errorf("%s low %v: %s", name, low, got)
		}
	})
}

// seeSize sees the memory of a value that is too big for a limit of 2, where both encodings have
// one name: a tree has a head besides its node.
func seeSize(t *testing.T, name, alias, command string, args ...string) {
	size := func(c *conn) int {
		c.do("DEL", "k")
		c.do(append([]string{command, "k"}, args...)...)
		return atoi(c.do("MEMORY", "USAGE", "k"))
	}
	k := start(t)
	block := size(k.dial())
	k.kill()
	eachLimit(t, name, alias, func(c *conn, low bool) {
		const head = 24
		if got := size(c); (got >= block+head) != low {
			t.Errorf("%s low %v: %d bytes, in one block %d", name, low, got, block)
		}
	})
}

func seeSparseLimit(t *testing.T) {
	eachLimit(t, "hll-sparse-max-bytes", "", func(c *conn, low bool) {
		const dense = 12304
		c.do("DEL", "k")
		c.do("PFADD", "k", "a", "b", "c")
		if got := atoi(c.do("STRLEN", "k")); (got == dense) != low {
			t.Errorf("hll-sparse-max-bytes low %v: %d bytes", low, got)
		}
	})
}

// seeStreamNodes sees how many entries XTRIM leaves, which without = removes whole nodes.
func seeStreamNodes(t *testing.T, name, low string) {
	left := func(c *conn) int {
		c.do("DEL", "k")
		for i := range 10 {
			c.do("XADD", "k", strconv.Itoa(i+1)+"-1", "f", "v")
		}
		c.do("XTRIM", "k", "MAXLEN", "~", "2")
		return atoi(c.do("XLEN", "k"))
	}
	k := start(t, "--"+name, low)
	if n := left(k.dial()); n != 2 {
		t.Errorf("%s %s: %d entries are left", name, low, n)
	}
	k.kill()
	c := start(t).dial()
	if n := left(c); n != 10 {
		t.Errorf("default of %s: %d entries are left", name, n)
	}
	c.want("OK", "CONFIG", "SET", name, low)
	if n := left(c); n != 2 {
		t.Errorf("%s after CONFIG SET: %d entries are left", name, n)
	}
}
