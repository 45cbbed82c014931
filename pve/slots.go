package pve

import (
	"context"
	"sync"
)

// keyed gives a lock per key.
type keyed[K comparable] struct{ locks sync.Map }

func (k *keyed[K]) lock(ctx context.Context, key K) (unlock func(), err error) {
	v, _ := k.locks.LoadOrStore(key, make(chan struct{}, 1))
	ch := v.(chan struct{})
	select {
	case ch <- struct{}{}:
		return func() { <-ch }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// slots bounds how much is under way at once, per key.
type slots struct {
	width int
	mu    sync.Mutex
	byKey map[string]chan struct{}
}

func newSlots(width int) *slots { return &slots{width: width, byKey: map[string]chan struct{}{}} }

func (s *slots) take(ctx context.Context, key string) (release func(), err error) {
	s.mu.Lock()
	ch, ok := s.byKey[key]
	if !ok {
		ch = make(chan struct{}, s.width)
		s.byKey[key] = ch
	}
	s.mu.Unlock()
	select {
	case ch <- struct{}{}:
		return func() { <-ch }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
