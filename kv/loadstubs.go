package kv

