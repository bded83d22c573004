package resp

import "bytes"

// inline reads a command that was typed by hand: words up to a line end.
func (p *Parser) inline(buf []byte) (args [][]byte, n int, err error) {
	limit := min(len(buf), MaxInline+1)
	from := min(p.scanned, limit)
	i := bytes.IndexByte(buf[from:limit], '\n')
	if i < 0 {
		p.scanned = limit
		if limit > MaxInline {
			return nil, 0, errInlineTooBig
		}
		return nil, 0, nil
	}
	i += from
	line := buf[:i]
	if i > 0 && line[i-1] == '\r' {
		line = line[:i-1]
	}
	args, text, ok := AppendInlineArgs(p.args[:0], nil, line)
	if !ok {
		return nil, 0, errQuotes
	}
	p.used = max(p.used, len(args))
	p.args, p.text = args, text
	p.scanned = 0
	return args, i + 1, nil
}

// AppendInlineArgs splits a line into words by Redis' rules, as inline commands and redis.conf lines are. A word may hold
// a part in double quotes, with the escapes \n \r \t \b \a \xHH and \ before any other byte, or in single quotes, where
// only \' is one; a closing quote ends its word. ok is false if a quote is not closed, or is followed by more than space.
//
// The words are appended to args and borrow from line, those with quotes from text, to which their bytes are appended.
// It may allocate, at most the length of line for text.
func AppendInlineArgs(args [][]byte, text, line []byte) (words [][]byte, newText []byte, ok bool) {
	for i := 0; ; {
		for i < len(line) && isSpace(line[i]) {
			i++
		}
		if i == len(line) {
			return args, text, true
		}
		start := i
		for i < len(line) && !endsWord(line[i]) && line[i] != '"' && line[i] != '\'' {
			i++
		}
		if i == len(line) || endsWord(line[i]) {
			args = append(args, line[start:i:i])
			continue
		}
		if text == nil {
			// All words together are no longer than the line, so that text never moves under the words before.
			text = make([]byte, 0, len(line))
		}
		from := len(text)
		text = append(text, line[start:i]...)
		if text, i, ok = appendQuoted(text, line, i); !ok {
			return args, text, false
		}
		args = append(args, text[from:len(text):len(text)])
	}
}

// appendQuoted appends what stands between the quote at line[i] and its partner, and returns the offset behind that.
func appendQuoted(text, line []byte, i int) (newText []byte, next int, ok bool) {
	quote := line[i]
	for i++; i < len(line); i++ {
		c := line[i]
		switch {
		case c == quote:
			return text, i + 1, i+1 == len(line) || isSpace(line[i+1])
		case c == '\\' && quote == '"' && i+3 < len(line) && line[i+1] == 'x' && hexValue(line[i+2]) >= 0 && hexValue(line[i+3]) >= 0:
			text = append(text, byte(hexValue(line[i+2])<<4|hexValue(line[i+3])))
			i += 3
		case c == '\\' && quote == '"' && i+1 < len(line):
			i++
			text = append(text, unescape(line[i]))
		case c == '\\' && quote == '\'' && i+1 < len(line) && line[i+1] == '\'':
			i++
			text = append(text, '\'')
		default:
			text = append(text, c)
		}
	}
	return text, i, false
}

func unescape(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'b':
		return '\b'
	case 'a':
		return '\a'
	}
	return c
}

func hexValue(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// endsWord differs from isSpace: a vertical tab or form feed is skipped before a word but does not end one.
func endsWord(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }
