package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// parseArgs turns a directive's arguments into its value; problem is Redis' text for what is wrong with them, or "".
// prev is the value so far, which some directives change only in part. l is nil in CONFIG SET.
func (d *directive) parseArgs(l *loadState, prev value, args []string) (v value, problem string) {
	switch d.kind {
	case kindSpecial:
		v, problem = d.parse(l, prev, args)
	case kindFlags:
		v, problem = d.parseEnum(args)
	default:
		if len(args) != 1 {
			return value{}, "wrong number of arguments"
		}
		v, problem = d.parseOne(args[0])
	}
	if problem == "" && d.check != nil {
		problem = d.check(v)
	}
	return v, problem
}

func (d *directive) parseOne(arg string) (value, string) {
	switch d.kind {
	case kindBool:
		switch strings.ToLower(arg) {
		case "yes":
			return value{text: "yes", number: 1}, ""
		case "no":
			return value{text: "no"}, ""
		}
		return value{}, "argument must be 'yes' or 'no'"
	case kindText:
		return value{text: arg}, ""
	case kindEnum:
		return d.parseEnum([]string{arg})
	}
	n, problem := d.parseNumber(arg)
	if problem == "" {
		problem = d.checkRange(n)
	}
	if problem != "" {
		return value{}, problem
	}
	if d.clamp != nil {
		n = d.clamp(n)
	}
	return value{text: d.formatNumber(n), number: n}, ""
}

func (d *directive) parseNumber(arg string) (int64, string) {
	switch d.kind {
	case kindMemory:
		if n, ok := parseMemory(arg); ok {
			return n, ""
		}
		return 0, "argument must be a memory value"
	case kindPercent:
		if n, ok := parseMemory(arg); ok {
			return n, ""
		}
		if digits, found := strings.CutSuffix(arg, "%"); found {
			if n, ok := parseStrict(digits); ok && n >= 0 {
				return -n, ""
			}
		}
		return 0, "argument must be a memory or percent value"
	case kindOctal:
		if n, ok := parseC(arg, 8); ok {
			return n, ""
		}
		return 0, "argument couldn't be parsed as an octal number"
	}
	if n, ok := parseStrict(arg); ok {
		return n, ""
	}
	return 0, "argument couldn't be parsed into an integer"
}

func (d *directive) checkRange(n int64) string {
	if d.min <= n && n <= d.max {
		return ""
	}
	switch {
	case d.kind == kindPercent && n < 0:
		return fmt.Sprintf("percentage argument must be less or equal to %d", -d.min)
	case d.kind == kindOctal:
		return fmt.Sprintf("argument must be between %o and %o inclusive", d.min, d.max)
	}
	return fmt.Sprintf("argument must be between %d and %d inclusive", d.min, d.max)
}

func (d *directive) formatNumber(n int64) string {
	switch {
	case d.kind == kindOctal:
		return strconv.FormatInt(n, 8)
	case d.kind == kindPercent && n < 0:
		return strconv.FormatInt(-n, 10) + "%"
	}
	return strconv.FormatInt(n, 10)
}

// parseEnum reads one word, or for kindFlags any number of them, whose bits are joined.
func (d *directive) parseEnum(args []string) (value, string) {
	known := len(args) == 1 || d.kind == kindFlags && len(args) > 0
	var n int64
	for _, arg := range args {
		found := false
		for _, item := range d.enum {
			if strings.EqualFold(arg, item.word) {
				n |= item.number
				found = true
				break
			}
		}
		known = known && found
	}
	if !known {
		all := make([]string, len(d.enum))
		for i, item := range d.enum {
			all[i] = item.word
		}
		return value{}, "argument(s) must be one of the following: " + strings.Join(all, ", ")
	}
	return value{text: d.enumWords(n), number: n}, ""
}

func (d *directive) enumWords(n int64) string {
	var bits []string
	for _, item := range d.enum {
		if item.number == n {
			return item.word
		}
		if item.number != 0 && n&item.number == item.number {
			bits = append(bits, item.word)
		}
	}
	return strings.Join(bits, " ")
}

// parseStrict reads a decimal integer as Redis' string2ll: no blanks, plus sign or leading zeros.
func parseStrict(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && strconv.FormatInt(n, 10) == s
}

// parseC reads an integer as C's strtoll does when all of s has to be used: leading blanks and a sign are fine, and the
// empty string is 0.
func parseC(s string, base int) (int64, bool) {
	if s == "" {
		return 0, true
	}
	n, err := strconv.ParseInt(strings.TrimLeft(s, " \t\n\v\f\r"), base, 64)
	return n, err == nil
}

var units = map[string]int64{
	"": 1, "b": 1, "k": 1000, "kb": 1 << 10, "m": 1000 * 1000, "mb": 1 << 20, "g": 1000 * 1000 * 1000, "gb": 1 << 30,
}

// parseMemory reads bytes with an optional unit: 1k is 1000, 1kb is 1024. It refuses what does not fit 63 bits, where
// Redis wraps around.
func parseMemory(s string) (int64, bool) {
	digits := 0
	for digits < len(s) && '0' <= s[digits] && s[digits] <= '9' {
		digits++
	}
	unit, ok := units[strings.ToLower(s[digits:])]
	if !ok || digits == 0 {
		return 0, false
	}
	n, err := strconv.ParseInt(s[:digits], 10, 64)
	if err != nil || n > math.MaxInt64/unit {
		return 0, false
	}
	return n * unit, true
}

// formatMemory writes bytes in the largest unit that divides them.
func formatMemory(n int64) string {
	switch {
	case n == 0 || n%(1<<10) != 0:
		return strconv.FormatInt(n, 10)
	case n%(1<<30) == 0:
		return strconv.FormatInt(n>>30, 10) + "gb"
	case n%(1<<20) == 0:
		return strconv.FormatInt(n>>20, 10) + "mb"
	}
	return strconv.FormatInt(n>>10, 10) + "kb"
}

// baseName returns a check that a name has no directory in it; it may be empty only for dbfilename, as in Redis.
func baseName(directive, what string) func(value) string {
	return func(v value) string {
		if v.text == "" && directive != "dbfilename" {
			return directive + " can't be empty"
		}
		if strings.ContainsAny(v.text, "/\\") {
			return directive + " can't be a path, just a " + what
		}
		return ""
	}
}

// checkCron accepts what cron.ParseStandard does (five fields, @daily, @every 1h, with a CRON_TZ= in front), if it ever
// comes true; nothing means no schedule.
func checkCron(v value) (problem string) {
	if v.text == "" {
		return ""
	}
	defer func() { // of a time zone without a schedule behind it
		if recover() != nil {
			problem = "Invalid save-cron: a time zone must be followed by a schedule"
		}
	}()
	schedule, err := cron.ParseStandard(v.text)
	if err != nil {
		return "Invalid save-cron: " + strings.Map(printable, err.Error())
	}
	if schedule.Next(time.Now()).IsZero() {
		return "Invalid save-cron: no such time ever comes"
	}
	return ""
}

// printable keeps a message on one line, whatever it quotes.
func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return ' '
	}
	return r
}

func checkHostname(v value) string {
	if len(v.text) >= 256 {
		return "Hostnames must be less than 256 characters"
	}
	for _, c := range []byte(v.text) {
		alnum := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !alnum && c != '-' && c != '.' {
			return "Hostnames may only contain alphanumeric characters, hyphens or dots"
		}
	}
	return ""
}

// checkTitleTemplate accepts text with variables in braces; "{{" stands for a brace.
func checkTitleTemplate(v value) string {
	const bad = "template format is invalid or contains unknown variables"
	known := []string{"title", "listen-addr", "server-mode", "port", "tls-port", "unixsocket", "config-file"}
	rest := v.text
	for {
		_, after, found := strings.Cut(rest, "{")
		if !found {
			return ""
		}
		if brace, ok := strings.CutPrefix(after, "{"); ok {
			rest = brace
			continue
		}
		name, behind, closed := strings.Cut(after, "}")
		if !closed {
			return bad
		}
		ok := false
		for _, k := range known {
			ok = ok || k == name
		}
		if !ok {
			return bad
		}
		rest = behind
	}
}
