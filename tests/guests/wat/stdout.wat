;; Wants to write to the host's standard output, where a secret it guessed could go.
(component
  (import "wasi:io/streams@0.2.12" (instance $streams
    (export "output-stream" (type (sub resource)))
  ))
  (alias export $streams "output-stream" (type $stream))
  (import "wasi:cli/stdout@0.2.12" (instance
    (alias outer 1 $stream (type $own))
    (export "output-stream" (type $mine (eq $own)))
    (export "get-stdout" (func (result (own $mine))))
  ))
)
