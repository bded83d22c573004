//go:build linux

package main

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	redigo "github.com/gomodule/redigo/redis"
	"github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"
)

// startTCP starts kvd on a free port and returns its address.
func startTCP(t *testing.T) (addr string) {
	t.Helper()
	port := freePort(t)
	start(t, "--bind", "127.0.0.1", "--port", port)
	return "127.0.0.1:" + port
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[T comparable](t *testing.T, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestGoRedis(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	rdb := redis.NewClient(&redis.Options{Addr: startTCP(t), DialTimeout: patience, ReadTimeout: patience, WriteTimeout: patience, MaxRetries: -1})
	defer func() { _ = rdb.Close() }()
	noError(t, rdb.Set(ctx, "a", "b\r\n\x00", time.Hour).Err())
	value, err := rdb.Get(ctx, "a").Result()
	noError(t, err)
	equal(t, value, "b\r\n\x00")
	if _, err := rdb.Get(ctx, "none").Result(); !errors.Is(err, redis.Nil) {
		t.Errorf("a missing key: %v", err)
	}
	ttl, err := rdb.TTL(ctx, "a").Result()
	noError(t, err)
	if ttl > time.Hour || ttl < time.Hour-2*patience {
		t.Errorf("TTL %v", ttl)
	}
	n, err := rdb.IncrBy(ctx, "n", 41).Result()
	noError(t, err)
	equal(t, n, 41)
	f, err := rdb.IncrByFloat(ctx, "f", 0.5).Result()
	noError(t, err)
	equal(t, f, 0.5)
	noError(t, rdb.MSet(ctx, "x", 1, "y", 2).Err())
	list, err := rdb.MGet(ctx, "x", "none", "y").Result()
	noError(t, err)
	equal(t, list[0].(string)+list[2].(string), "12")
	if list[1] != nil {
		t.Error(list)
	}

	pipe := rdb.Pipeline()
	for range 1000 {
		pipe.Incr(ctx, "n")
	}
	replies, err := pipe.Exec(ctx)
	noError(t, err)
	equal(t, replies[999].(*redis.IntCmd).Val(), 1041)

	tx := rdb.TxPipeline()
	incr := tx.Incr(ctx, "n")
	tx.Expire(ctx, "n", time.Minute)
	_, err = tx.Exec(ctx)
	noError(t, err)
	equal(t, incr.Val(), 1042)

	err = rdb.Watch(ctx, func(tx *redis.Tx) error {
		if err := rdb.Set(ctx, "n", 7, 0).Err(); err != nil {
			return err
		}
		_, err := tx.TxPipelined(ctx, func(p redis.Pipeliner) error { return p.Set(ctx, "n", 8, 0).Err() })
		return err
	}, "n")
	if !errors.Is(err, redis.TxFailedErr) {
		t.Errorf("a transaction on a changed key: %v", err)
	}
	keys, it := 0, rdb.Scan(ctx, 0, "*", 2).Iterator()
	for it.Next(ctx) {
		keys++
	}
	noError(t, it.Err())
	equal(t, keys, 5)
	info, err := rdb.InfoMap(ctx, "server").Result()
	noError(t, err)
	if !strings.HasPrefix(info["Server"]["redis_version"], "7.0") {
		t.Error(info)
	}
	if err := rdb.Do(ctx, "nosuch").Err(); err == nil || !strings.HasPrefix(err.Error(), "ERR unknown command 'nosuch'") {
		t.Error(err)
	}
}

func TestRedigo(t *testing.T) {
	t.Parallel()
	c, err := redigo.Dial("tcp", startTCP(t), redigo.DialConnectTimeout(patience))
	noError(t, err)
	defer func() { _ = c.Close() }()
	ok, err := redigo.String(c.Do("SET", "a", []byte{0, 1, 255}))
	noError(t, err)
	equal(t, ok, "OK")
	b, err := redigo.Bytes(c.Do("GET", "a"))
	noError(t, err)
	equal(t, string(b), "\x00\x01\xff")
	if _, err := redigo.String(c.Do("GET", "none")); !errors.Is(err, redigo.ErrNil) {
		t.Error(err)
	}
	for range 500 {
		noError(t, c.Send("APPEND", "log", "line;"))
	}
	noError(t, c.Flush())
	for i := range 500 {
		n, err := redigo.Int(c.Receive())
		noError(t, err)
		equal(t, n, 5*(i+1))
	}
	noError(t, c.Send("MULTI"))
	noError(t, c.Send("INCR", "n"))
	noError(t, c.Send("STRLEN", "log"))
	list, err := redigo.Ints(c.Do("EXEC"))
	noError(t, err)
	equal(t, list[0]*10000+list[1], 12500)
	_, err = c.Do("INCR", "log")
	var e redigo.Error
	if !errors.As(err, &e) || e != "ERR value is not an integer or out of range" {
		t.Error(err)
	}
}

func TestRueidis(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{startTCP(t)}, DisableCache: true,
		Dialer: net.Dialer{Timeout: patience}, ConnWriteTimeout: patience})
	noError(t, err)
	defer c.Close()
	noError(t, c.Do(ctx, c.B().Set().Key("a").Value("b").Ex(time.Hour).Build()).Error())
	s, err := c.Do(ctx, c.B().Get().Key("a").Build()).ToString()
	noError(t, err)
	equal(t, s, "b")
	if err := c.Do(ctx, c.B().Get().Key("none").Build()).Error(); !rueidis.IsRedisNil(err) {
		t.Error(err)
	}
	commands := make(rueidis.Commands, 1000)
	for i := range commands {
		commands[i] = c.B().Incr().Key("n").Build()
	}
	for i, reply := range c.DoMulti(ctx, commands...) {
		n, err := reply.AsInt64()
		noError(t, err)
		equal(t, n, int64(i+1))
	}
	noError(t, c.Dedicated(func(c rueidis.DedicatedClient) error {
		if err := c.Do(ctx, c.B().Watch().Key("n").Build()).Error(); err != nil {
			return err
		}
		replies := c.DoMulti(ctx, c.B().Multi().Build(), c.B().Incr().Key("n").Build(), c.B().Exec().Build())
		list, err := replies[2].AsIntSlice()
		if err == nil && (len(list) != 1 || list[0] != 1001) {
			t.Error(list)
		}
		return err
	}))
}

// The clients of other languages are scripts beside .ci/run, which installs
// them. Each gets the port and prints "ok" at its end.
func TestOtherClients(t *testing.T) {
	t.Parallel()
	scripts, err := filepath.Abs("../../.ci/clients")
	noError(t, err)
	python := "python3"
	if exec.Command("/usr/bin/python3", "-c", "import redis").Run() == nil {
		python = "/usr/bin/python3" // Debian's, for which python3-redis is
	}
	for _, tt := range []struct {
		name  string
		check []string
		run   []string
	}{
		{"ioredis", []string{"node", "-e", "require('ioredis')"}, []string{"node", filepath.Join(scripts, "ioredis.js")}},
		{"node-redis", []string{"node", "-e", "require('redis')"}, []string{"node", filepath.Join(scripts, "node-redis.js")}},
		{"redis-py", []string{python, "-c", "import redis"}, []string{python, filepath.Join(scripts, "redis-py.py")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if out, err := exec.Command(tt.check[0], tt.check[1:]...).CombinedOutput(); err != nil {
				missing(t, tt.name+" is not installed: "+tail(string(out), 200))
			}
			_, port, _ := strings.Cut(startTCP(t), ":")
			ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
			defer cancel()
			cmd := exec.CommandContext(ctx, tt.run[0], append(tt.run[1:], port)...)
			cmd.Env = os.Environ()
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.HasSuffix(string(out), "ok\n") {
				t.Errorf("%v\n%s", err, tail(string(out), 2000))
			}
		})
	}
}
