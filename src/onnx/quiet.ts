/**
 * onnxruntime 1.30 reports its use to its makers (libonnxruntime.so.1 has the address mobile.events.data.microsoft.com and the variable's
 * name), on Linux, too, and keeps a database for it in the user's cache. Here it does so only for who asks for it: the variable is set
 * before it is loaded, unless the environment says something else. Child processes inherit that.
 */
process.env['ORT_DISABLE_TELEMETRY'] ??= '1';
