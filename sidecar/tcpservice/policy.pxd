# C types of policy.py, for its compiled form.

cimport cython

cdef object _V12

cdef class Policy:
    cdef readonly str route
    cdef readonly bint idempotent
    cdef readonly long long request_timeout
    cdef readonly long long attempt_timeout
    cdef readonly long long stream_timeout
    cdef readonly object retry

cdef class Policies:
    cdef Policy _default
    cdef dict _exact
    cdef dict _exact_v10
    cdef list _prefixes
    cdef readonly list request_limits
    cdef bytes _last_pattern
    cdef Policy _last
    cdef readonly dict known
    cdef readonly dict known_v10

    @cython.locals(policy=Policy)
    cpdef Policy find(self, bytes pattern, dialect=*)
    cdef Policy _find(self, bytes pattern, dialect, dict known)
