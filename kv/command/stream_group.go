package command

import "kvd/kv"

// groupOptions are those of XGROUP CREATE and SETID.
type groupOptions struct {
	makes bool // MKSTREAM
	read  int64
}

// parseGroup reads the options behind the ID.
func (x *Ctx) parseGroup(create bool) (o groupOptions, ok bool) {
	o.read = kv.UnknownEntriesRead
	for i := 5; i < len(x.Args); i++ {
		arg := option(x.Args[i])
		switch {
		case create && is(arg, "mkstream"):
			o.makes = true
		case is(arg, "entriesread") && i+1 < len(x.Args):
			i++
			if o.read, ok = x.parseInt(x.Args[i]); !ok {
				return o, false
			}
			if o.read < 0 && o.read != kv.UnknownEntriesRead {
				x.Err(errXgroupRead)
				return o, false
			}
		default:
			x.subcommandSyntax("XGROUP")
			return o, false
		}
	}
	return o, true
}

// subcommandSyntax replies that the arguments of a subcommand are not right.
func (x *Ctx) subcommandSyntax(command string) {
	x.Errf(errSubArgs, cText(x.Args[1], maxQuoted), command)
}

// maxQuoted is how much of an argument an error quotes, in bytes.
const maxQuoted = 128

// openGroupKey opens the stream of an XGROUP command, which must exist.
func (x *Ctx) openGroupKey(s *kv.Stream) (ok bool) {
	if !x.openStream(s, x.Args[2]) {
		return false
	}
	if !s.Exists() {
		x.Err(errXgroupNoKey)
		return false
	}
	return true
}

// openGroup opens the stream and the group of an XGROUP command.
func (x *Ctx) openGroup(s *kv.Stream, g *kv.StreamGroup) (ok bool) {
	if !x.openGroupKey(s) {
		return false
	}
	if !s.Group(x.Args[3], g) {
		x.noGroup(x.Args[3], x.Args[2])
		return false
	}
	return true
}

// noGroup replies that there is no group of that name.
func (x *Ctx) noGroup(name, key []byte) {
	x.Errf(errNoGroupForKey, cText(name, len(name)), cText(key, len(key)))
}

func cmdXgroupCreate(x *Ctx) {
	o, ok := x.parseGroup(true)
	if !ok {
		return
	}
	var s kv.Stream
	if !o.makes && !x.openGroupKey(&s) || o.makes && !x.openStream(&s, x.Args[2]) {
		return
	}
	const most = 8 // arguments: an option twice is too many
	if len(x.Args) > most {
		x.subcommandSyntax("XGROUP")
		return
	}
	last := s.Last
	if string(option(x.Args[4])) != "$" {
		if last, ok = x.strictID(x.Args[4]); !ok {
			return
		}
	}
	made := !s.Exists()
	if made {
		if err := s.Create(); err != nil {
			x.storeErr(err)
			return
		}
	}
	var g kv.StreamGroup
	created, err := s.CreateGroup(x.Args[3], last, o.read, &g)
	if err == nil && !created {
		x.Err(errBusyGroup)
		return
	}
	mark := len(x.Client.Out)
	x.OK()
	x.saveStream(&s, 1, mark, err)
}

func cmdXgroupSetid(x *Ctx) {
	o, ok := x.parseGroup(false)
	if !ok {
		return
	}
	var s kv.Stream
	var g kv.StreamGroup
	if !x.openGroup(&s, &g) {
		return
	}
	if n := len(x.Args); n != 5 && n != 7 {
		x.subcommandSyntax("XGROUP")
		return
	}
	last := s.Last
	if string(option(x.Args[4])) != "$" {
		if last, ok = x.rangeID(x.Args[4], anyID, 0); !ok {
			return
		}
	}
	g.Last, g.EntriesRead = last, o.read
	err := s.PutGroup(&g)
	mark := len(x.Client.Out)
	x.OK()
	x.saveStream(&s, 1, mark, err)
}

func cmdXgroupDestroy(x *Ctx) {
	var s kv.Stream
	if !x.openGroupKey(&s) {
		return
	}
	var g kv.StreamGroup
	if !s.Group(x.Args[3], &g) {
		x.Int(0)
		return
	}
	err := s.DestroyGroup(&g)
	mark := len(x.Client.Out)
	x.Int(1)
	if x.saveStream(&s, 1, mark, err) {
		x.keyReady(x.Client.db, x.Args[2]) // those who wait for the group get an error
	}
}

func cmdXgroupCreateconsumer(x *Ctx) {
	var s kv.Stream
	var g kv.StreamGroup
	if !x.openGroup(&s, &g) {
		return
	}
	var c kv.StreamConsumer
	if s.Consumer(&g, x.Args[4], &c) {
		x.Int(0)
		return
	}
	err := s.CreateConsumer(&g, x.Args[4], x.Tx.Now(), &c)
	mark := len(x.Client.Out)
	x.Int(1)
	x.saveStream(&s, 1, mark, err)
}

func cmdXgroupDelconsumer(x *Ctx) {
	var s kv.Stream
	var g kv.StreamGroup
	if !x.openGroup(&s, &g) {
		return
	}
	var c kv.StreamConsumer
	if !s.Consumer(&g, x.Args[4], &c) {
		x.Int(0)
		return
	}
	pending := s.PendingOf(&g, &c)
	err := s.DeleteConsumer(&g, &c)
	mark := len(x.Client.Out)
	x.Int(pending)
	x.saveStream(&s, 1, mark, err)
}

func cmdXgroupHelp(x *Ctx) {
	x.Strings([]string{
		"XGROUP <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
		"CREATE <key> <groupname> <id|$> [option]",
		"    Create a new consumer group. Options are:",
		"    * MKSTREAM",
		"      Create the empty stream if it does not exist.",
		"    * ENTRIESREAD entries_read",
		"      Set the group's entries_read counter (internal use).",
		"CREATECONSUMER <key> <groupname> <consumer>",
		"    Create a new consumer in the specified group.",
		"DELCONSUMER <key> <groupname> <consumer>",
		"    Remove the specified consumer.",
		"DESTROY <key> <groupname>",
		"    Remove the specified group.",
		"SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
		"    Set the current group ID and entries_read counter.",
		"HELP",
		"    Prints this help.",
	})
}

func cmdXack(x *Ctx) {
	var s kv.Stream
	if !x.readStream(&s, x.Args[1]) {
		return
	}
	var g kv.StreamGroup
	if !s.Exists() || !s.Group(x.Args[2], &g) {
		x.Int(0)
		return
	}
	ids, ok := x.strictIDs(x.Args[3:])
	if !ok {
		return
	}
	n := int64(0)
	var err error
	for _, id := range ids {
		var acked bool
		if acked, err = s.Ack(&g, id); err != nil {
			break
		}
		if acked {
			n++
		}
	}
	mark := len(x.Client.Out)
	x.Int(n)
	if n > 0 || err != nil {
		x.saveStream(&s, n, mark, err)
	}
}
