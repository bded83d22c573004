package config

import (
	"fmt"
	"strings"
)

// SplitArgs splits a line into arguments as redis.conf, redis-cli and inline commands do: separated by blanks; in double
// quotes \n \r \t \a \b, \xHH and \ before any other byte are escapes, in single quotes only \'. A closing quote must
// end its argument. It returns false for unbalanced quotes.
func SplitArgs(line string) (args []string, ok bool) {
	for {
		line = strings.TrimLeft(line, " \t\n\v\f\r")
		if line == "" {
			return args, true
		}
		var arg []byte
		for line != "" && strings.IndexByte(" \t\n\r", line[0]) < 0 {
			if line[0] != '"' && line[0] != '\'' {
				arg, line = append(arg, line[0]), line[1:]
				continue
			}
			// Text before an opening quote belongs to the same argument, as in Redis.
			quoted, rest, ok := readQuoted(line)
			if !ok || rest != "" && !isSpace(rest[0]) {
				return nil, false
			}
			arg, line = append(arg, quoted...), rest
			break
		}
		args = append(args, string(arg))
	}
}

// readQuoted reads the quoted string that s starts with; rest is what follows the closing quote.
func readQuoted(s string) (content []byte, rest string, ok bool) {
	quote := s[0]
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == quote:
			return content, s[i+1:], true
		case s[i] == '\\' && quote == '\'':
			if i+1 < len(s) && s[i+1] == '\'' {
				i++
			}
			content = append(content, s[i])
		case s[i] == '\\' && i+1 < len(s):
			b, n := unescape(s[i+1:])
			content = append(content, b)
			i += n
		default:
			content = append(content, s[i])
		}
	}
	return nil, "", false
}

// unescape decodes what follows a backslash in double quotes; n is how many bytes it took.
func unescape(s string) (b byte, n int) {
	if s[0] == 'x' && len(s) >= 3 {
		hi, lo := hexDigit(s[1]), hexDigit(s[2])
		if hi >= 0 && lo >= 0 {
			return byte(hi<<4 | lo), 3
		}
	}
	if i := strings.IndexByte("nrtba", s[0]); i >= 0 {
		return "\n\r\t\b\a"[i], 1
	}
	return s[0], 1
}

func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

func isSpace(c byte) bool { return strings.IndexByte(" \t\n\v\f\r", c) >= 0 }

// Quote writes s in double quotes so that SplitArgs gives it back.
func Quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		c := s[i]
		if j := strings.IndexByte("\n\r\t\a\b", c); j >= 0 {
			b.WriteByte('\\')
			b.WriteByte("nrtab"[j])
			continue
		}
		switch {
		case c == '\\' || c == '"':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < 0x20 || c > 0x7e:
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// quoteIfNeeded quotes what would not be read back as one argument, for texts that people read.
func quoteIfNeeded(s string) string {
	if args, ok := SplitArgs(s); ok && len(args) == 1 && args[0] == s {
		return s
	}
	return Quote(s)
}
