// Package glob matches Redis' glob-style patterns, as KEYS, SCAN MATCH, CONFIG GET and PSUBSCRIBE take them.
//
//	?      exactly one byte                 *       any number of bytes, none included
//	\x     the byte x itself                [abc]   one of the bytes
//	[a-z]  one byte of the range            [^abc]  one byte that is none of these
//
// It imports nothing. Patterns come from clients, so the time is bounded: at most len(pattern) × len(s) steps, whatever
// the pattern is, and no recursion. A class that is never closed extends to the end of the pattern, as in Redis.
package glob

// Match reports whether s as a whole matches pattern. With nocase, ASCII letters match in either case (an escaped byte
// inside a class is always taken literally, as in Redis).
//
// The empty string is matched by the empty pattern and by "*" alone, and by nothing else: Redis never enters its matcher
// with an empty string, and treats "*" as "everything" before it gets there.
func Match(pattern, s []byte, nocase bool) bool {
	if len(s) == 0 {
		return len(pattern) == 0 || len(pattern) == 1 && pattern[0] == '*'
	}
	p, i := 0, 0
	// Only the last star has to be remembered: if the rest of the pattern matches nowhere behind it, a longer match of an
	// earlier star would only leave less to search in.
	afterStar, starAt := -1, 0
	for i < len(s) {
		if p < len(pattern) && pattern[p] == '*' {
			for p < len(pattern) && pattern[p] == '*' {
				p++
			}
			if p == len(pattern) {
				return true
			}
			afterStar, starAt = p, i
			continue
		}
		if p < len(pattern) {
			if n, ok := matchOne(pattern[p:], s[i], nocase); ok {
				p += n
				i++
				continue
			}
		}
		if afterStar < 0 {
			return false
		}
		starAt++
		p, i = afterStar, starAt
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// HasMeta reports whether s has a byte that CONFIG GET and its like take as the sign of a pattern: * ? or [.
func HasMeta(s []byte) bool {
	for _, c := range s {
		if c == '*' || c == '?' || c == '[' {
			return true
		}
	}
	return false
}

// matchOne matches the one-byte element at the start of pattern, which is not empty and does not start with a star. It
// returns the element's length in the pattern.
func matchOne(pattern []byte, c byte, nocase bool) (n int, ok bool) {
	switch pattern[0] {
	case '?':
		return 1, true
	case '[':
		return matchClass(pattern, c, nocase)
	case '\\':
		if len(pattern) >= 2 {
			return 2, equal(pattern[1], c, nocase)
		}
	}
	return 1, equal(pattern[0], c, nocase)
}

// matchClass matches a class; pattern starts with its opening bracket.
func matchClass(pattern []byte, c byte, nocase bool) (n int, ok bool) {
	i := 1
	not := i < len(pattern) && pattern[i] == '^'
	if not {
		i++
	}
	for i < len(pattern) && pattern[i] != ']' {
		rest := pattern[i:]
		switch {
		case rest[0] == '\\' && len(rest) >= 2:
			ok = ok || rest[1] == c
			i += 2
		case len(rest) >= 3 && rest[1] == '-':
			ok = ok || inRange(rest[0], rest[2], c, nocase)
			i += 3
		default:
			ok = ok || equal(rest[0], c, nocase)
			i++
		}
	}
	if i < len(pattern) {
		i++ // the closing bracket
	}
	return i, ok != not
}

// inRange compares as signed bytes, since that is what Redis' char is on the machines that most of its users have: only
// ranges that cross 0x7f can tell.
func inRange(lo, hi, c byte, nocase bool) bool {
	if int8(lo) > int8(hi) {
		lo, hi = hi, lo
	}
	if nocase {
		lo, hi, c = lower(lo), lower(hi), lower(c)
	}
	return int8(lo) <= int8(c) && int8(c) <= int8(hi)
}

func equal(a, b byte, nocase bool) bool {
	return a == b || nocase && lower(a) == lower(b)
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
