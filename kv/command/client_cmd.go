package command

import (
	"strconv"
	"time"

	"kvd/kv/resp"
)

var clientHelp = helpText("CLIENT",
	"CACHING (YES|NO)", "Track the keys of the next command, or not; needs tracking with OPTIN or OPTOUT.",
	"GETREDIR", "Return the ID of the client that gets the invalidation messages, -1 if there is none.",
	"GETNAME", "Return the name of this connection.",
	"ID", "Return the ID of this connection.",
	"INFO", "Describe this connection.",
	"KILL <address>", "Close the connection from that address.",
	"KILL <filter> <value> [<filter> <value> ...]", "Close the connections that match all filters:",
	"", "ID <id>, ADDR <address>, LADDR <address>, USER <name>,",
	"", "TYPE (NORMAL|MASTER|REPLICA|PUBSUB), SKIPME (YES|NO)",
	"LIST [TYPE <type> | ID <id> ...]", "Describe connections, one in a line.",
	"NO-EVICT (ON|OFF)", "Never evict this client.",
	"PAUSE <milliseconds> [WRITE|ALL]", "Make clients wait: those that write, or all.",
	"REPLY (ON|OFF|SKIP)", "Turn replies to this connection on or off.",
	"SETINFO (LIB-NAME|LIB-VER) <value>", "Name the client library.",
	"SETNAME <name>", "Name this connection.",
	"TRACKING (ON|OFF) [options ...]", "Server-assisted client-side caching.",
	"TRACKINGINFO", "Tell the state of tracking.",
	"UNBLOCK <id> [TIMEOUT|ERROR]", "End the waiting of a blocked client.",
	"UNPAUSE", "End a pause.",
)

// helpText forms the lines of a HELP reply from pairs of usage and meaning; a
// usage of "" goes on with the text above.
func helpText(name string, pairs ...string) []string {
	lines := []string{name + " <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i] != "" {
			lines = append(lines, pairs[i])
		}
		lines = append(lines, "    "+pairs[i+1])
	}
	return append(lines, "HELP", "    Print this help.")
}

func cmdClientHelp(x *Ctx)     { x.Strings(clientHelp) }
func cmdClientID(x *Ctx)       { x.Int(x.Client.ID) }
func cmdClientGetRedir(x *Ctx) { x.Int(-1) }

func cmdClientGetName(x *Ctx) {
	if n := x.Client.Name(); n != "" {
		x.BulkString(n)
	} else {
		x.Null()
	}
}

func cmdClientSetName(x *Ctx) {
	if x.setName(x.Args[2]) {
		x.OK()
	}
}

// setName names the client or replies the error; an empty name removes it.
func (x *Ctx) setName(name []byte) bool {
	if !printable(name) {
		x.Err(errClientName)
		return false
	}
	x.Client.setName(string(name))
	return true
}

func (c *Client) setName(name string) {
	c.mu.Lock()
	c.name = name
	c.mu.Unlock()
}

// printable tells whether b can stand in a line of CLIENT LIST.
func printable(b []byte) bool {
	for _, ch := range b {
		if ch < '!' || ch > '~' {
			return false
		}
	}
	return true
}

func cmdClientSetInfo(x *Ctx) {
	attr, value := x.Args[2], x.Args[3]
	c := x.Client
	switch {
	case !is(attr, "lib-name") && !is(attr, "lib-ver"):
		x.Errf(errSetInfoOption, cText(attr, len(attr)))
		return
	case !printable(value):
		x.Errf(errSetInfoValue, cText(attr, len(attr)))
		return
	}
	c.mu.Lock()
	if is(attr, "lib-name") {
		c.libName = string(value)
	} else {
		c.libVer = string(value)
	}
	c.mu.Unlock()
	x.OK()
}

func cmdClientNoEvict(x *Ctx) {
	switch {
	case is(x.Args[2], "on"):
		x.Client.setFlag(flagNoEvict, true)
	case is(x.Args[2], "off"):
		x.Client.setFlag(flagNoEvict, false)
	default:
		x.Err(errSyntax)
		return
	}
	x.OK()
}

func cmdClientReply(x *Ctx) {
	c := x.Client
	switch mode := x.Args[2]; {
	case is(mode, "on"):
		c.state &^= stReplyOff | stReplySkip
		x.OK()
	case is(mode, "off"):
		c.state |= stReplyOff
	case is(mode, "skip"):
		if c.state&stReplyOff == 0 {
			c.state |= stSkipNext
		}
	default:
		x.Err(errSyntax)
	}
}

func cmdClientPause(x *Ctx) {
	all := true
	if len(x.Args) == 4 {
		switch {
		case is(x.Args[3], "write"):
			all = false
		case !is(x.Args[3], "all"):
			x.Err(errPauseMode)
			return
		}
	} else if len(x.Args) > 4 {
		x.Err(sprintf(errSubArgs, cText(x.Args[1], len(x.Args[1])), "CLIENT"))
		return
	}
	ms, ok := resp.ParseInt(x.Args[2])
	now := time.Now().UnixMilli()
	switch {
	case !ok:
		x.Err(errTimeoutInteger)
	case ms < 0:
		x.Err(errTimeoutNegative)
	default:
		x.Pause(now+ms, all) // an overflow is a time in the past, as in Redis
		x.OK()
	}
}

func cmdClientUnpause(x *Ctx) {
	x.Unpause()
	x.OK()
}

func cmdClientUnblock(x *Ctx) {
	if len(x.Args) == 4 && !is(x.Args[3], "timeout") && !is(x.Args[3], "error") {
		x.Err(errUnblockReason)
		return
	}
	if id, ok := x.parseInt(x.Args[2]); ok {
		x.Bool01(x.unblock(id, len(x.Args) == 4 && is(x.Args[3], "error")))
	}
}

func cmdClientCaching(x *Ctx) { x.Err(errCachingMode) }

func cmdClientTracking(x *Ctx) {
	switch {
	case is(x.Args[2], "off"):
		x.OK()
	case is(x.Args[2], "on"):
		x.Err(errNoTracking)
	default:
		x.Err(errSyntax)
	}
}

func cmdClientTrackingInfo(x *Ctx) {
	x.Map(3)
	x.BulkString("flags")
	x.Set(1)
	x.BulkString("off")
	x.BulkString("redirect")
	x.Int(-1)
	x.BulkString("prefixes")
	x.Array(0)
}

func cmdClientInfo(x *Ctx) {
	x.Scratch = append(x.Client.appendLine(x.Scratch[:0], x.unixTime()), '\n')
	x.Verbatim("txt", string(x.Scratch))
}

func cmdClientList(x *Ctx) {
	only, ok := x.listFilter()
	if !ok {
		return
	}
	now := x.unixTime()
	out := x.Scratch[:0]
	x.Clients.Each(func(c *Client) bool {
		if only == nil || only[c.ID] {
			out = append(c.appendLine(out, now), '\n')
		}
		return true
	})
	x.Scratch = out
	x.Verbatim("txt", string(out))
}

// listFilter reads the options of CLIENT LIST: the IDs asked for, nil for all.
func (x *Ctx) listFilter() (only map[int64]bool, ok bool) {
	a := x.Args
	switch {
	case len(a) == 2:
		return nil, true
	case len(a) == 4 && is(a[2], "type"):
		normal, ok := x.clientType(a[3])
		if normal || !ok {
			return nil, ok
		}
		return map[int64]bool{}, true
	case len(a) > 3 && is(a[2], "id"):
		only = map[int64]bool{}
		for _, arg := range a[3:] {
			id, ok := resp.ParseInt(arg)
			if !ok {
				x.Err(errClientID)
				return nil, false
			}
			only[id] = true
		}
		return only, true
	}
	x.Err(errSyntax)
	return nil, false
}

// clientType reads the name of a type of clients; kvd has normal ones only.
func (x *Ctx) clientType(arg []byte) (normal, ok bool) {
	for _, name := range []string{"normal", "slave", "replica", "pubsub", "master"} {
		if is(arg, name) {
			return name == "normal", true
		}
	}
	x.Errf(errClientType, cText(arg, len(arg)))
	return false, false
}

// killFilter is what CLIENT KILL was asked for; zero values match all.
type killFilter struct {
	id          int64
	addr, laddr string
	noneOfType  bool
	skipMe      bool
}

func (f *killFilter) match(c, self *Client) bool {
	return (f.addr == "" || c.Addr == f.addr) && (f.laddr == "" || c.LAddr == f.laddr) &&
		(f.id == 0 || c.ID == f.id) && !f.noneOfType && !(f.skipMe && c == self)
}

func cmdClientKill(x *Ctx) {
	oldStyle := len(x.Args) == 3
	var f killFilter
	if oldStyle {
		f.addr = string(x.Args[2])
	} else if !x.killOptions(&f) {
		return
	}
	var hit []*Client
	if !(oldStyle && f.addr == "") {
		x.Clients.Each(func(c *Client) bool {
			if f.match(c, x.Client) && !c.Closing.Load() {
				hit = append(hit, c)
			}
			return !oldStyle || len(hit) == 0
		})
	}
	for _, c := range hit {
		if c == x.Client {
			x.closeSoon()
		} else {
			x.abandon(c) // at once: what is pushed from now on is not for it
			x.Clients.Kill(c)
		}
	}
	switch {
	case !oldStyle:
		x.Int(int64(len(hit)))
	case len(hit) > 0:
		x.OK()
	default:
		x.Err(errNoSuchClient)
	}
}

// killOptions reads the filters of the new style.
func (x *Ctx) killOptions(f *killFilter) bool {
	f.skipMe = true
	for a := x.Args[2:]; len(a) > 0; a = a[2:] {
		if len(a) == 1 {
			x.Err(errSyntax)
			return false
		}
		v := a[1]
		switch opt := a[0]; {
		case is(opt, "id"):
			id, ok := resp.ParseInt(v)
			if !ok || id < 1 {
				x.Err(errKillID)
				return false
			}
			f.id = id
		case is(opt, "type"):
			normal, ok := x.clientType(v)
			if !ok {
				return false
			}
			f.noneOfType = !normal
		case is(opt, "addr"):
			f.addr = string(v)
		case is(opt, "laddr"):
			f.laddr = string(v)
		case is(opt, "user"):
			if string(v) != "default" {
				x.Errf(errNoSuchUser, cText(v, len(v)))
				return false
			}
		case is(opt, "skipme") && (is(v, "yes") || is(v, "no")):
			f.skipMe = is(v, "yes")
		default:
			x.Err(errSyntax)
			return false
		}
	}
	return true
}

// appendLine appends the line of CLIENT LIST without its line break. It may
// run on any loop.
func (c *Client) appendLine(b []byte, now int64) []byte {
	c.mu.Lock()
	name, libName, libVer := c.name, c.libName, c.libVer
	c.mu.Unlock()
	num := func(key string, n int64) { b = strconv.AppendInt(append(b, key...), n, 10) }
	str := func(key, s string) { b = append(append(b, key...), s...) }
	num("id=", c.ID)
	str(" addr=", c.Addr)
	str(" laddr=", c.LAddr)
	num(" fd=", int64(c.FD))
	str(" name=", name)
	num(" age=", max(now-c.createdUnix, 0))
	num(" idle=", max(now-c.LastActive.Load(), 0))
	str(" flags=", c.flagLetters())
	num(" db=", int64(c.sharedDB.Load()))
	str(" sub=0 psub=0 ssub=0", "")
	num(" multi=", int64(c.sharedMulti.Load()))
	num(" qbuf=", c.QueryBuf.Load())
	num(" qbuf-free=", c.QueryBufFree.Load())
	num(" argv-mem=", c.ArgvMem.Load())
	num(" multi-mem=", c.multiMem.Load())
	num(" rbs=", c.ReplyBuf.Load())
	num(" rbp=", c.ReplyBufPeak.Load())
	num(" obl=", c.OutBuf.Load())
	num(" oll=", c.OutList.Load())
	num(" omem=", c.OutMem.Load())
	num(" tot-mem=", c.TotalMem.Load())
	str(" events=r", "")
	if c.Writable.Load() {
		b = append(b, 'w')
	}
	if s := c.lastCmd.Load(); s != nil {
		str(" cmd=", s.Name)
	} else {
		str(" cmd=NULL", "")
	}
	str(" user=default redir=-1", "")
	num(" resp=", int64(c.sharedResp.Load()))
	// Fields of later versions of Redis, only where a client has set them.
	if libName != "" || libVer != "" {
		str(" lib-name=", libName)
		str(" lib-ver=", libVer)
	}
	return b
}

// flagLetters returns the value of "flags=".
func (c *Client) flagLetters() string {
	var buf [8]byte
	b := buf[:0]
	f := c.flags.Load()
	add := func(on bool, letter byte) {
		if on {
			b = append(b, letter)
		}
	}
	add(c.sharedMulti.Load() >= 0, 'x')
	add(f&flagBlocked != 0, 'b')
	w := c.watcher.Load() // its keys belong to c's loop, its mark to all
	add(w != nil && w.Dirty(), 'd')
	add(f&flagCloseAfter != 0, 'c')
	add(c.Closing.Load() && f&flagCloseAfter == 0, 'A')
	add(c.Unix, 'U')
	add(f&flagNoEvict != 0, 'e')
	if len(b) == 0 {
		return "N"
	}
	return string(b)
}
