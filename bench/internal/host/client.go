//go:build linux

package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/tidwall/redcon"
)

// ReplyError is an error reply of a server, without the leading minus.
type ReplyError string

func (e ReplyError) Error() string { return string(e) }

const (
	doLimit  = time.Minute // for a reply to Do, which has no context
	maxReply = 64 << 20    // bytes; nothing here asks for more
)

// client is a connection that waits for each reply. One goroutine at a time
// may use it.
type client struct {
	conn   net.Conn
	buf    []byte // the reply, as far as it was read
	broken bool   // a later reply might be that of an earlier command
}

func dial(ctx context.Context, addr string) (*client, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &client{conn: conn}, nil
}

func (c *client) close() { _ = c.conn.Close() }

// do sends one command and waits for its reply: string, int64, nil or []any. An
// error reply is a ReplyError; after any other error the connection is broken.
func (c *client) do(ctx context.Context, args ...string) (any, error) {
	// The past as a deadline ends a read that is under way.
	stop := context.AfterFunc(ctx, func() { _ = c.conn.SetDeadline(time.Unix(1, 0)) })
	reply, err := c.ask(ctx, args)
	var refused ReplyError
	c.broken = !stop() || err != nil && !errors.As(err, &refused)
	return reply, err
}

func (c *client) ask(ctx context.Context, args []string) (any, error) {
	cmd := redcon.AppendArray(nil, len(args))
	for _, a := range args {
		cmd = redcon.AppendBulkString(cmd, a)
	}
	if _, err := c.conn.Write(cmd); err != nil {
		return nil, because(ctx, err)
	}
	c.buf = c.buf[:0]
	for {
		if complete(c.buf) {
			if n, reply := redcon.ReadNextRESP(c.buf); n > 0 {
				return value(reply)
			}
		}
		if len(c.buf) > maxReply {
			return nil, fmt.Errorf("%s: the reply is no RESP2 or has more than %d bytes", args[0], maxReply)
		}
		part := make([]byte, 32<<10)
		n, err := c.conn.Read(part)
		if n == 0 && err != nil {
			return nil, because(ctx, err)
		}
		c.buf = append(c.buf, part[:n]...)
	}
}

// complete tells whether buf may hold a whole reply: every one ends a line.
// ReadNextRESP starts from the front each time.
func complete(buf []byte) bool { return bytes.HasSuffix(buf, []byte("\r\n")) }

// because prefers the context's reason to that of the connection it cut.
func because(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func value(r redcon.RESP) (any, error) {
	switch r.Type {
	case redcon.Error:
		return nil, ReplyError(r.Data)
	case redcon.Integer:
		return r.Int(), nil
	case redcon.Array:
		list := []any{}
		r.ForEach(func(e redcon.RESP) bool {
			v, err := value(e)
			if err != nil {
				v = err
			}
			list = append(list, v)
			return true
		})
		return list, nil
	case redcon.Bulk:
		if r.Data == nil {
			return nil, nil
		}
	}
	return string(r.Data), nil
}

// Do sends one command on a connection that the Server keeps and waits for its
// reply, at most a minute: string, int64, nil or []any. An error reply is a
// ReplyError. It may be called by several goroutines; they take turns.
func (s *Server) Do(args ...string) (any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), doLimit)
	defer cancel()
	return s.DoContext(ctx, args...)
}

// DoContext is Do, bounded by ctx alone.
func (s *Server) DoContext(ctx context.Context, args ...string) (any, error) {
	reply, err := s.ask(ctx, args...)
	var refused ReplyError
	if err != nil && !errors.As(err, &refused) {
		return nil, fmt.Errorf("%s: %w", strings.Join(args, " "), s.explain(err))
	}
	return reply, err
}

// ask is DoContext without words about the server's end.
func (s *Server) ask(ctx context.Context, args ...string) (any, error) {
	if len(args) == 0 {
		return nil, errors.New("no command")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil {
		c, err := dial(ctx, s.Addr)
		if err != nil {
			return nil, err
		}
		s.conn = c
	}
	reply, err := s.conn.do(ctx, args...)
	if s.conn.broken {
		s.conn.close()
		s.conn = nil
	}
	return reply, err
}

// Info returns the fields of INFO: of all sections, or of those that are named.
func (s *Server) Info(sections ...string) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), doLimit)
	defer cancel()
	return s.InfoContext(ctx, sections...)
}

// InfoContext is Info, bounded by ctx alone.
func (s *Server) InfoContext(ctx context.Context, sections ...string) (map[string]string, error) {
	if len(sections) == 0 {
		sections = []string{"everything"}
	}
	reply, err := s.DoContext(ctx, append([]string{"INFO"}, sections...)...)
	if err != nil {
		return nil, err
	}
	text, ok := reply.(string)
	if !ok {
		return nil, fmt.Errorf("INFO: %T is no text", reply)
	}
	return parseInfo(text), nil
}

func parseInfo(text string) map[string]string {
	fields := map[string]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if key, v, ok := strings.Cut(line, ":"); ok && !strings.HasPrefix(line, "#") {
			fields[key] = v
		}
	}
	return fields
}
