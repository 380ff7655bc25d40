;; Wants an interface of wasi:http that is not among the four that a connector may import.
(component
  (import "wasi:http/types@0.2.12" (instance $types
    (export "incoming-request" (type (sub resource)))
    (export "response-outparam" (type (sub resource)))
  ))
  (alias export $types "incoming-request" (type $request))
  (alias export $types "response-outparam" (type $out))
  (import "wasi:http/incoming-handler@0.2.12" (instance
    (alias outer 1 $request (type $request-own))
    (alias outer 1 $out (type $out-own))
    (export "incoming-request" (type $r (eq $request-own)))
    (export "response-outparam" (type $o (eq $out-own)))
    (export "handle" (func (param "request" (own $r)) (param "response-out" (own $o))))
  ))
)
