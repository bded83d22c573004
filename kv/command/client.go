package command

import (
	"sync"
	"sync/atomic"

	"kvd/kv"
)

// clientState holds the conditions under which Do leaves its short path.
type clientState uint8

const (
	stMulti      clientState = 1 << iota // between MULTI and EXEC
	stDirtyExec                          // a queued command was refused: EXEC aborts
	stReplyOff                           // CLIENT REPLY OFF
	stReplySkip                          // the reply of this command is dropped
	stSkipNext                           // CLIENT REPLY SKIP: that of the next one
	stUnauth                             // not authenticated
	stCloseAfter                         // the connection ends after this command
	stPostponed                          // waits for the end of a CLIENT PAUSE
)

// ClientOptions say what the server knows of a new connection.
type ClientOptions struct {
	FD          int
	Addr, LAddr string // as CLIENT LIST shows them: "ip:port", or "path:0"
	Unix        bool   // a unix socket
	Local       bool   // a unix socket or a loopback address: may use protected commands set to "local"
	Owner       any    // the server's own connection, returned by Client.Owner

	// Streaming says that who writes Client.Out to the connection writes Client.Streams
	// too. Without it all of a reply is in Out.
	Streaming bool
}

// Stream is a part of a reply that is not in Client.Out: a long string, which is to be
// written piece by piece from the store's memory. Who has written it releases it.
type Stream struct {
	At  int // it comes before Out[At:], and behind a Stream with the same or a smaller At
	Pin *kv.Pin
}

// Client is the protocol state of one connection. Out, and everything that is
// not said to be atomic, belongs to the event loop of the connection; other
// loops read only the atomic fields and those behind the mutex (CLIENT LIST).
type Client struct {
	ID  int64
	Out []byte // replies not yet taken by the server; commands append to it

	// Streams are the long strings among the replies in Out, in order. They belong to who
	// has Out: when that takes bytes away from Out it moves their positions. Those that are left are
	// released by FreeClient.
	Streams []Stream

	ClientOptions

	// Figures of the server for CLIENT LIST, updated by it once a batch.
	// Sizes are bytes.
	QueryBuf     atomic.Int64 // unparsed input
	QueryBufFree atomic.Int64
	ArgvMem      atomic.Int64 // memory of an argument list that is read in pieces
	OutBuf       atomic.Int64 // obl: replies in the buffer
	OutList      atomic.Int64 // oll: pieces waiting behind it
	OutMem       atomic.Int64 // omem: their memory
	ReplyBuf     atomic.Int64 // rbs: capacity of the reply buffer
	ReplyBufPeak atomic.Int64 // rbp: its recent peak
	TotalMem     atomic.Int64
	LastActive   atomic.Int64 // Unix seconds of the last bytes read or command run
	Writable     atomic.Bool  // the loop waits for the socket to become writable
	Closing      atomic.Bool  // Kill was called or Close returned

	createdUnix int64
	db          int
	resp        uint8 // 2 or 3
	state       clientState
	queue       multiQueue
	errand      *errand                    // what the postponed command waits for
	waiter      *waiter                    // of the command that waits for data; nil if none does
	watcher     atomic.Pointer[kv.Watcher] // nil until the first WATCH

	// Copies for other loops; stored only when they change.
	sharedDB    atomic.Int32
	sharedResp  atomic.Int32
	sharedMulti atomic.Int32 // queued commands; -1 outside MULTI
	multiMem    atomic.Int64
	lastCmd     atomic.Pointer[Spec]
	flags       atomic.Uint32

	mu              sync.Mutex // guards what CLIENT SETNAME and SETINFO set
	name            string
	libName, libVer string
}

// Flags of a client as other loops see them.
const (
	flagNoEvict uint32 = 1 << iota
	flagBlocked
	flagCloseAfter
)

// NewClient returns the state of a new connection. The server calls
// FreeClient when the connection is gone.
func (e *Engine) NewClient(o ClientOptions) *Client {
	c := &Client{ClientOptions: o, ID: e.state.nextID.Add(1), resp: 2}
	c.createdUnix = e.unixTime()
	c.LastActive.Store(c.createdUnix)
	c.sharedResp.Store(2)
	c.sharedMulti.Store(-1)
	if e.passwordSet() {
		c.state |= stUnauth
	}
	return c
}

// FreeClient forgets c: its watched keys, its place among the blocked clients, and the
// streams that it did not read. It is called once, from c's own loop, with no locks held.
func (e *Engine) FreeClient(c *Client) {
	e.unwatch(c)
	if c.waiter != nil {
		e.abandon(c)
	}
	e.setPostponed(c, false)
	c.queue.reset()
	c.dropStreams(0)
}

// DropReplies takes back what was appended to Out behind its first bytes, at of them.
func (c *Client) DropReplies(at int) {
	c.Out = c.Out[:at]
	if len(c.Streams) > 0 {
		c.dropStreams(at)
	}
}

// dropStreams releases the streams that do not come before a position in Out.
func (c *Client) dropStreams(at int) {
	n := len(c.Streams)
	for ; n > 0 && c.Streams[n-1].At >= at; n-- {
		c.Streams[n-1].Pin.Release()
	}
	clear(c.Streams[n:])
	c.Streams = c.Streams[:n]
}

// Authenticated tells whether c may run commands: unauthenticated clients get
// the small limits on what they may send.
func (c *Client) Authenticated() bool { return c.state&stUnauth == 0 }

// InMulti tells whether c is between MULTI and EXEC.
func (c *Client) InMulti() bool { return c.state&stMulti != 0 }

// QueuedBytes returns the memory that c's queued commands hold.
func (c *Client) QueuedBytes() int64 { return c.queue.bytes }

// Protocol returns the RESP version, 2 or 3.
func (c *Client) Protocol() int { return int(c.resp) }

// Name returns the name that CLIENT SETNAME gave.
func (c *Client) Name() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.name
}

func (c *Client) setDB(db int) {
	c.db = db
	c.sharedDB.Store(int32(db))
}

func (c *Client) setResp(v uint8) {
	c.resp = v
	c.sharedResp.Store(int32(v))
}

func (c *Client) setFlag(f uint32, on bool) {
	if on {
		c.flags.Or(f)
	} else {
		c.flags.And(^f)
	}
}

// watching returns the watched keys of c, nil if there are none.
func (c *Client) watching() *kv.Watcher {
	if w := c.watcher.Load(); w != nil && w.Watching() {
		return w
	}
	return nil
}
