package resp

import (
	"bytes"
	"math"
)

// Limits of the protocol. They have the values of Redis 7.0.
const (
	// DefaultMaxBulk is the longest argument in bytes (proto-max-bulk-len).
	DefaultMaxBulk = 512 << 20
	// DefaultMaxArgs is the largest number of arguments in one command.
	DefaultMaxArgs = math.MaxInt32
	// MaxInline is the longest header or inline command in bytes, without its line end.
	MaxInline = 64 << 10
	// UnauthenticatedMaxArgs is the number of arguments that a client may send before it has authenticated.
	UnauthenticatedMaxArgs = 10
	// UnauthenticatedMaxBulk is the length in bytes of an argument before authentication.
	UnauthenticatedMaxBulk = 16 << 10
	// UnauthenticatedMaxQuery is the size in bytes that a caller should let a query buffer reach before authentication.
	UnauthenticatedMaxQuery = 1 << 20
)

const (
	// largestMaxBulk keeps l*10+9 and offset+l+2 inside an int.
	largestMaxBulk = 1 << 58
	// firstArgs is the capacity that a connection's first command gets: most commands have fewer arguments.
	firstArgs = 8
	// keptArgs is the capacity that an idle connection may keep, in arguments of 24 bytes each.
	keptArgs  = 256
	argHeader = 24
)

// Parser finds commands in a query buffer that belongs to its caller. The zero value is ready, with the default limits.
// It keeps offsets between calls, never references, so the buffer may be moved or grown. It is not safe for concurrent use.
type Parser struct {
	// MaxBulk is the longest argument in bytes; 0 means DefaultMaxBulk.
	MaxBulk int
	// MaxArgs is the largest number of arguments; 0 means DefaultMaxArgs.
	MaxArgs int

	// args is reused for every command; its first used entries point into the last buffer.
	args [][]byte
	used int

	// The command under way. All offsets count from its first byte; all are zero between commands.
	pos     int // where the part begins that is not parsed: the next header
	scanned int // no line end between pos and here
	end     int // where the argument under way ends with its CRLF; 0 = its header is not read
	left    int // arguments to come; 0 = the command's header is not read
	total   int
	start   int // offset of the first argument's header
	seen    int // length of the buffer at the last call

	// text is the memory of unquoted inline arguments.
	text []byte
}

// Next parses the first complete command in buf.
//
// n is the number of bytes that are done with; the caller drops them. n == 0 without an error means that more bytes are
// needed: call again with the same bytes followed by more, in this or another piece of memory. n > 0 with no args means
// that only empty commands were found, which Redis ignores.
//
// args borrow from buf, or for quoted inline arguments from the parser, and so does the slice that holds them: they are
// valid until the next call of Next, Reset or Trim, and until the caller changes buf. A call that returns n == 0 drops
// the parser's references to the buffers of earlier calls.
//
// authenticated false applies the stricter limits for clients that have still to authenticate. err is a ProtocolError,
// whose text is the whole error reply; after it the connection cannot be understood any more and is to be closed.
//
// Where Redis' answer depends on how the bytes were cut into reads, or is to wait for ever (a header or an inline command
// that is longer than MaxInline but arrives together with its end; a zero byte in either), Next decides by the bytes
// alone: too big, and an ordinary byte.
func (p *Parser) Next(buf []byte, authenticated bool) (args [][]byte, n int, err error) {
	if p.pos|p.scanned == 0 && len(buf) >= 4 && buf[0] == '*' && buf[2] == '\r' {
		total := int(buf[1]) - '0'
		if total >= 1 && total <= 9 {
			maxBulk := p.MaxBulk
			if !authenticated || uint(maxBulk-1) >= largestMaxBulk {
				maxBulk = p.bulkLimit(authenticated)
			}
			args, n = p.collect(buf, 4, total, maxBulk)
			if n > 0 {
				return args, n, nil
			}
		}
	}
	return p.nextSlow(buf, authenticated)
}

// Want tells how many bytes are known to be missing after Next returned n == 0: at least 1, and more when the length of
// the argument under way is known. It is never more than MaxBulk+2, but it is a number that the client chose: a caller
// should let its buffer grow towards it as bytes arrive, say by doubling.
func (p *Parser) Want() int {
	return max(1, p.end-p.seen)
}

// Memory tells how many bytes the parser holds, and will need for the arguments found so far of the command under way.
// Small arguments cost more here than in the query buffer, so a query buffer limit should be applied to the sum.
func (p *Parser) Memory() int {
	return max(cap(p.args), p.total-p.left)*argHeader + cap(p.text)
}

// Reset forgets the command under way, for a parser that is to read another stream.
func (p *Parser) Reset() {
	p.pos, p.scanned, p.end, p.left, p.total, p.start, p.seen = 0, 0, 0, 0, 0, 0, 0
	p.drop()
}

// Trim gives back the memory that is kept for speed alone. A command under way is not lost; args returned before are.
func (p *Parser) Trim() {
	p.args, p.used, p.text = nil, 0, nil
}

func (p *Parser) bulkLimit(authenticated bool) int {
	limit := p.MaxBulk
	if limit <= 0 {
		limit = DefaultMaxBulk
	}
	if !authenticated {
		limit = min(limit, UnauthenticatedMaxBulk)
	}
	return min(limit, largestMaxBulk)
}

// drop releases what the last command's arguments refer to: an idle connection must not keep a large buffer alive.
func (p *Parser) drop() {
	clear(p.args[:p.used])
	p.used = 0
	if cap(p.args) > keptArgs {
		p.args = nil
	}
	p.text = nil
}

// nextSlow is Next for everything but short commands that are complete. Empty commands are skipped in a loop here.
func (p *Parser) nextSlow(buf []byte, authenticated bool) ([][]byte, int, error) {
	skipped := 0
	for {
		args, n, err := p.parse(buf[skipped:], authenticated)
		if err != nil {
			return nil, skipped, err
		}
		if len(args) > 0 {
			return args, skipped + n, nil
		}
		if n == 0 {
			p.seen = len(buf) - skipped
			p.drop()
			return nil, skipped, nil
		}
		skipped += n
	}
}

// parse reads one command, empty ones included. It goes on where it stopped.
func (p *Parser) parse(buf []byte, authenticated bool) ([][]byte, int, error) {
	if len(buf) == 0 {
		return nil, 0, nil
	}
	if buf[0] != '*' {
		return p.inline(buf)
	}
	first := p.left == 0
	if first {
		n, err := p.multibulkHeader(buf, authenticated)
		if p.left == 0 {
			return nil, n, err
		}
		// Most large commands arrive complete: one pass is enough for them.
		if args, n := p.collect(buf, p.start, p.total, p.bulkLimit(authenticated)); n > 0 {
			p.finish()
			return args, n, nil
		}
	}
	if err := p.advance(buf, authenticated); err != nil || p.left > 0 {
		return nil, 0, err
	}
	if cap(p.args) < p.total {
		p.args = make([][]byte, 0, p.total)
	}
	// Every length was checked when it arrived, perhaps under other limits.
	args, n := p.collect(buf, p.start, p.total, largestMaxBulk)
	if n == 0 {
		return nil, 0, errBulkLength // the caller broke the contract: these are not the bytes that were parsed
	}
	p.finish()
	return args, n, nil
}

func (p *Parser) finish() {
	p.pos, p.scanned, p.end, p.left, p.total, p.start = 0, 0, 0, 0, 0, 0
}

// collect makes the argument slices of a command of total arguments whose first header is at pos. It returns n == 0 if
// the command is incomplete or wrong in any way; advance then finds out which. This is the path that all commands take, so
// it keeps no state and knows canonical headers only.
func (p *Parser) collect(buf []byte, pos, total, maxBulk int) ([][]byte, int) {
	args := p.args
	if cap(args) < total && cap(args) < keptArgs {
		args = p.grow(total)
	}
	args = args[:cap(args)]
	for i := range total {
		at := pos
		if at+6 > len(buf) || buf[at] != '$' { // the shortest argument is $0\r\n\r\n
			return p.stop(i)
		}
		l := int(buf[at+1]) - '0'
		if uint(l) > 9 {
			return p.stop(i)
		}
		pos += 4
		if buf[at+2] != '\r' {
			l, pos = bulkLength(buf, at+1, maxBulk)
		}
		end := pos + l
		if l > maxBulk || end+2 > len(buf) || l < 0 {
			return p.stop(i)
		}
		if i == len(args) {
			p.used = i
			args = append(args, nil)
			args = args[:cap(args)]
			p.args = args
		}
		args[i] = buf[pos:end:end]
		pos = end + 2
	}
	p.used = max(p.used, total)
	return args[:total], pos
}

// stop ends collect before the command's end, after so many arguments.
func (p *Parser) stop(found int) ([][]byte, int) {
	p.used = max(p.used, found)
	return nil, 0
}

// grow makes room for the arguments of one command. A large count is only a claim: collect goes on by doubling.
func (p *Parser) grow(total int) [][]byte {
	p.args = make([][]byte, min(max(total, firstArgs), keptArgs))
	p.used = 0
	return p.args
}

// bulkLength reads a canonical length of two or more digits at pos and returns it with the offset behind its line end,
// or -1.
func bulkLength(buf []byte, pos, maxBulk int) (l, next int) {
	if buf[pos] == '0' {
		return -1, 0
	}
	for i := pos; i < len(buf); i++ {
		d := int(buf[i]) - '0'
		if uint(d) > 9 {
			if buf[i] != '\r' {
				return -1, 0
			}
			return l, i + 2
		}
		if l > maxBulk {
			return -1, 0
		}
		l = l*10 + d
	}
	return -1, 0
}

// line finds the end of the header at p.pos: a CR and one more byte, as Redis has it. next is the offset behind it, or 0
// if it is not there yet.
func (p *Parser) line(buf []byte, tooBig error) (line []byte, next int, err error) {
	limit := min(len(buf), p.pos+MaxInline+1)
	from := max(p.pos, p.scanned)
	i := -1
	if from < limit {
		i = bytes.IndexByte(buf[from:limit], '\r')
	}
	if i < 0 {
		p.scanned = limit
		if limit-p.pos > MaxInline {
			return nil, 0, tooBig
		}
		return nil, 0, nil
	}
	p.scanned = from + i
	if p.scanned+2 > len(buf) {
		return nil, 0, nil
	}
	return buf[p.pos:p.scanned], p.scanned + 2, nil
}

// multibulkHeader reads *N. It sets p.left if there is a command to come; n > 0 is the length of an empty command.
func (p *Parser) multibulkHeader(buf []byte, authenticated bool) (n int, err error) {
	line, next, err := p.line(buf, errMultibulkTooBig)
	if next == 0 {
		return 0, err
	}
	maxArgs := int64(p.MaxArgs)
	if maxArgs <= 0 {
		maxArgs = DefaultMaxArgs
	}
	total, ok := ParseInt(line[1:])
	switch {
	case !ok || total > maxArgs:
		return 0, errMultibulkLength
	case total > UnauthenticatedMaxArgs && !authenticated:
		return 0, errUnauthenticatedMultibulk
	case total <= 0:
		p.finish()
		return next, nil
	}
	p.total, p.left = int(total), int(total)
	p.start, p.pos, p.scanned = next, next, next
	return 0, nil
}

// advance checks the arguments that have arrived since the last call. It is done when p.left is 0.
func (p *Parser) advance(buf []byte, authenticated bool) error {
	for p.left > 0 {
		if p.end == 0 {
			line, next, err := p.line(buf, errBulkTooBig)
			if next == 0 {
				return err
			}
			if buf[p.pos] != '$' {
				return errExpectedDollar(buf[p.pos])
			}
			l, ok := ParseInt(line[1:])
			switch {
			case !ok || l < 0 || l > int64(p.bulkLimit(true)):
				return errBulkLength
			case l > UnauthenticatedMaxBulk && !authenticated:
				return errUnauthenticatedBulk
			}
			p.end = next + int(l) + 2
		}
		if p.end > len(buf) {
			return nil
		}
		p.pos, p.scanned, p.end = p.end, p.end, 0
		p.left--
	}
	return nil
}
