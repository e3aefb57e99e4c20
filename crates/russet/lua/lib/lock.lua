-- A lock's record: "V1;owner=<id>;fence=<n>;since=<ms>;until=<ms>;entries=<id>,<id>". Without an owner the lock is free, and
-- the record is kept for its fence. Nothing when it is of another version.
local function read_lock(key)
  local record = redis.call('GET', key)
  if not record then return {owner = '', fence = 0, since = 0, ends = 0, entries = ''} end
  local owner, fence, since, ends, entries =
    string.match(record, '^V1;owner=(%x*);fence=(%d+);since=(%d+);until=(%d+);entries=([%x,]*)')
  if not owner then return nil end
  return {owner = owner, fence = tonumber(fence), since = tonumber(since), ends = tonumber(ends), entries = entries}
end
