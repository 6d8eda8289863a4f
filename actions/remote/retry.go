package remote

import (
	"context"
	"time"
)

// pauses lie between the tries of Retry.
var pauses = []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute}

// Retry tries once and then once after each of the pauses, which grow, for as long as the error is Temporary. What
// lasts longer than that is for a later run to find gone. Pause is told how long to wait, and why; if it returns an
// error, the last try's error is the answer.
func Retry(ctx context.Context, pause func(context.Context, time.Duration, error) error, try func(context.Context) error) error {
	err := try(ctx)
	for _, d := range pauses {
		if err == nil || !Temporary(err) || pause(ctx, d, err) != nil {
			return err
		}
		err = try(ctx)
	}
	return err
}

// Pause waits, or returns the context's error when that ends first.
func Pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
