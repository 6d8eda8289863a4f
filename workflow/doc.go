// Package workflow runs backups as persisted state machines.
package workflow
