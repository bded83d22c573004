package command

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"testing"
)

// parseReply turns a raw reply into nested values: strings for all scalars.
func parseReply(raw string) (v any, rest string) {
	line, rest, _ := strings.Cut(raw, "\r\n")
	n, _ := strconv.Atoi(line[1:])
	switch line[0] {
	case '$', '=':
		if n < 0 {
			return nil, rest
		}
		return rest[:n], rest[n+2:]
	case '%':
		n *= 2
	case '*', '~', '>':
		if n < 0 {
			return nil, rest
		}
	default:
		return line, rest
	}
	list := make([]any, n)
	for i := range list {
		list[i], rest = parseReply(rest)
	}
	return list, rest
}

// sortedInfo orders the subcommands, whose order is that of a hash table in Redis.
func sortedInfo(v any, drop string) string {
	f, ok := v.([]any)
	if !ok || len(f) < 10 {
		return fmt.Sprint(v)
	}
	var subs []string
	for _, s := range f[9].([]any) {
		if name := s.([]any)[0].(string); !strings.Contains(drop, name) {
			subs = append(subs, sortedInfo(s, drop))
		}
	}
	sort.Strings(subs)
	return fmt.Sprint(f[:9]) + "\n  " + strings.Join(subs, "\n  ")
}

// notIn70 are subcommands that one side only has: CLIENT SETINFO came with
// Redis 7.2, functions cannot be loaded into kvd yet.
const notIn70 = "client|setinfo function|load function|dump function|restore"

// later tells whether a version is of the time after Redis 7.0.
func later(version string) bool { return version > "7.1" }

// dropLater returns descriptions of arguments without those that came after Redis 7.0.
func dropLater(v any) any {
	list, ok := v.([]any)
	if !ok {
		return v
	}
	kept := []any{}
	for _, arg := range list {
		fields, _ := arg.([]any)
		drop := false
		for i := 0; i+1 < len(fields); i += 2 {
			since, _ := fields[i+1].(string)
			drop = drop || fields[i] == "since" && later(since)
		}
		if !drop {
			kept = append(kept, dropLater(arg))
		}
	}
	return kept
}

func TestCommandInfoIsThatOfRedis(t *testing.T) {
	p := newPair(t)
	for _, proto := range []string{"2", "3"} {
		p.both("HELLO", proto)
		for _, s := range p.x.state.table.list {
			if s.Name == "snapshot" || later(s.Doc.Since) { // kvd's own, or newer
				continue
			}
			ours, theirs := p.both("COMMAND", "INFO", s.Name)
			a, _ := parseReply(ours)
			b, _ := parseReply(theirs)
			if x, y := sortedInfo(a.([]any)[0], notIn70), sortedInfo(b.([]any)[0], notIn70); x != y {
				t.Errorf("RESP%s %s\n kvd   %s\n redis %s", proto, s.Name, x, y)
			}
		}
		p.line("COMMAND INFO get nosuch client|nosuch client|id get|x")
	}
}

// docFacts strips what is worded freely from a COMMAND DOCS reply.
func docFacts(v any) string {
	m := v.([]any)
	var b strings.Builder
	for i := 0; i < len(m); i += 2 {
		switch key := m[i].(string); key {
		case "summary", "complexity", "history":
		case "subcommands":
			subs := m[i+1].([]any)
			var list []string
			for j := 0; j < len(subs); j += 2 {
				if name := subs[j].(string); !strings.Contains(notIn70, name) {
					list = append(list, name+": "+docFacts(subs[j+1]))
				}
			}
			sort.Strings(list)
			b.WriteString("\n  " + strings.Join(list, "\n  "))
		default:
			fmt.Fprint(&b, key, "=", dropLater(m[i+1]), " ")
		}
	}
	return b.String()
}

func TestCommandDocsHaveTheFactsOfRedis(t *testing.T) {
	p := newPair(t)
	p.both("HELLO", "3")
	for _, s := range p.x.state.table.list {
		if s.Name == "bgsave" || s.Name == "snapshot" || later(s.Doc.Since) { // kvd's own options, kvd's own command, newer ones
			continue
		}
		ours, theirs := p.both("COMMAND", "DOCS", s.Name)
		a, _ := parseReply(ours)
		b, _ := parseReply(theirs)
		mine := a.([]any)[1].([]any)
		if x, y := docFacts(mine), docFacts(b.([]any)[1]); x != y {
			t.Errorf("%s\n kvd   %s\n redis %s", s.Name, x, y)
		}
		if mine[1].(string) == b.([]any)[1].([]any)[1].(string) {
			t.Errorf("%s: the summary is Redis' own", s.Name)
		}
	}
}

func TestCommandKeysAndLists(t *testing.T) {
	p := newPair(t)
	for _, proto := range []string{"2", "3"} {
		p.both("HELLO", proto)
		for _, cmd := range []string{
			"COMMAND GETKEYS", "COMMAND GETKEYS get", "COMMAND GETKEYS nosuch x", "COMMAND GETKEYS ping x", "COMMAND GETKEYS set a",
			"COMMAND GETKEYS mset a 1 b 2", "COMMAND GETKEYS mset a 1 b", "COMMAND GETKEYS mget a b c", "COMMAND GETKEYS lcs a b",
			"COMMAND GETKEYS object encoding k", "COMMAND GETKEYS memory usage k", "COMMAND GETKEYS object help x", "COMMAND GETKEYS echo x",
			"COMMAND GETKEYS copy a b DB 3", "COMMAND GETKEYS del a b", "COMMAND GETKEYS rename a b",
			"COMMAND GETKEYSANDFLAGS set a b", "COMMAND GETKEYSANDFLAGS set a b GET", "COMMAND GETKEYSANDFLAGS mset a 1 b 2",
			"COMMAND GETKEYSANDFLAGS lcs a b", "COMMAND GETKEYSANDFLAGS rename a b", "COMMAND GETKEYSANDFLAGS copy a b",
			"COMMAND GETKEYSANDFLAGS getex a", "COMMAND GETKEYSANDFLAGS client list x",
			"COMMAND LIST foo", "COMMAND LIST FILTERBY", "COMMAND LIST FILTERBY foo bar", "COMMAND LIST FILTERBY ACLCAT nosuch",
			"COMMAND LIST FILTERBY MODULE x", "COMMAND LIST FILTERBY PATTERN mset", "COMMAND LIST FILTERBY PATTERN nosuch*",
			"COMMAND COUNT x", "COMMAND NOSUCH", "COMMAND DOCS nosuch", "COMMAND GETKEYS watch a b",
		} {
			p.line(cmd)
		}
		for _, cmd := range []string{
			"LIST FILTERBY PATTERN config*", "LIST FILTERBY PATTERN client|un*", "LIST FILTERBY ACLCAT transaction",
			"LIST FILTERBY ACLCAT stream", "INFO config xgroup get",
		} {
			ours, theirs := p.both(strings.Fields("COMMAND " + cmd)...)
			if a, b := sortedLines(ours), sortedLines(theirs); a != b {
				t.Errorf("%s\n kvd   %s\n redis %s", cmd, a, b)
			}
		}
	}
	if got := p.ours("COMMAND", "LIST", "FILTERBY", "ACLCAT", "slow"); !strings.Contains(got, "\nxgroup\r") {
		t.Error("COMMAND LIST FILTERBY ACLCAT slow lacks the container XGROUP, which is slow")
	}
	n := strconv.Itoa(len(p.x.state.table.list))
	if got := p.ours("COMMAND", "COUNT"); got != ":"+n+"\r\n" {
		t.Errorf("COMMAND COUNT: %q, want %s", got, n)
	}
}

func sortedLines(s string) string {
	l := strings.Split(s, "\r\n")
	sort.Strings(l)
	return strings.Join(l, " ")
}
