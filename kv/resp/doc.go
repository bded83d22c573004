// Package resp reads client commands and writes replies in the Redis protocol, RESP2 and RESP3.
//
// It is a leaf: it imports the standard library and redcon's Append functions, and knows nothing of connections,
// commands or the store. Nothing here blocks, starts a goroutine or keeps global state.
//
//	           caller's query buffer                        caller's reply buffer
//	bytes ──►  [*3 $3 SET $1 k $1 v|*1 $4 PI   ]            [+OK …            ] ──► bytes
//	                └─ Parser.Next: args borrow from it          ▲
//	                   n bytes are done, the rest stays          └─ AppendX(dst, …) dst
//
// What a hostile client can make it do is bounded:
//   - A length in a header is only a number: memory is taken for bytes that have arrived, never for bytes announced.
//   - Every byte is looked at a constant number of times, however small the pieces it arrives in.
//   - A header or an inline command without an end is refused after MaxInline bytes.
//   - What the parser holds for a command, Memory tells, so that the caller can count it against its query buffer limit.
//
// An HTTP request that was sent by a browser looks like inline commands: its first words arrive as args[0] "POST" or
// "Host:". This package parses them like any other; it is for the command layer to close such a connection.
package resp
