package resp

// ProtocolError is the whole text of an error reply, "ERR Protocol error: …". The connection is to be closed after it.
type ProtocolError string

func (e ProtocolError) Error() string { return string(e) }

// The texts are those of Redis: clients and operators search for them.
var (
	errMultibulkLength          error = ProtocolError("ERR Protocol error: invalid multibulk length")
	errMultibulkTooBig          error = ProtocolError("ERR Protocol error: too big mbulk count string")
	errUnauthenticatedMultibulk error = ProtocolError("ERR Protocol error: unauthenticated multibulk length")
	errBulkLength               error = ProtocolError("ERR Protocol error: invalid bulk length")
	errBulkTooBig               error = ProtocolError("ERR Protocol error: too big bulk count string")
	errUnauthenticatedBulk      error = ProtocolError("ERR Protocol error: unauthenticated bulk length")
	errInlineTooBig             error = ProtocolError("ERR Protocol error: too big inline request")
	errQuotes                   error = ProtocolError("ERR Protocol error: unbalanced quotes in request")
)

// errExpectedDollar names the byte that stands where an argument's header should begin. A line end would break the reply.
func errExpectedDollar(got byte) error {
	if got == '\r' || got == '\n' {
		got = ' '
	}
	return ProtocolError("ERR Protocol error: expected '$', got '" + string([]byte{got}) + "'")
}
