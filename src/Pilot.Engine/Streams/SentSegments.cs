namespace Pilot.Engine.Streams;

/// <summary>What is known of one segment that was sent and is not yet acknowledged.</summary>
internal struct SegmentRecord
{
    /// <summary>Stream offset of the first byte.</summary>
    public long Start;
    /// <summary>Time of the last transmission.</summary>
    public Instant SentAt;
    /// <summary>Neighbours in the list of segments in flight, ordered by time of transmission; -1 for none.</summary>
    public long Earlier, Later;
    /// <summary>State of the delivery when it was sent last.</summary>
    public DeliveryRate.Snapshot Rate;
    /// <summary>Payload bytes.</summary>
    public int Length;
    /// <summary>Times sent.</summary>
    public ushort Transmissions;
    /// <summary>The peer reported the segment as received.</summary>
    public bool Sacked;
    /// <summary>The segment is deemed lost and waits for its retransmission.</summary>
    public bool Lost;
    /// <summary>The segment is on its way, as far as is known: it is in the list by time.</summary>
    public bool InFlight;

    public readonly long End => Start + Length;
}

/// <summary>
/// The segments from the first unacknowledged byte to the last byte sent, without gaps, in a ring of structs numbered from 0.
/// Those in flight are linked in order of transmission, which is what time-based loss detection walks (RFC 8985 section 5.2).
/// </summary>
internal sealed class SentSegments(ChunkPool pool)
{
    private const int SmallestRing = 16;

    private SegmentRecord[] _ring = []; // power of two long, rented while in use
    private int _mask;
    private long _retransmitHint;       // no lost segment has a lower number

    /// <summary>Number of the first unacknowledged segment.</summary>
    public long First { get; private set; }

    /// <summary>Number of the next segment to be sent.</summary>
    public long Next { get; private set; }

    /// <summary>Segments sent and not acknowledged.</summary>
    public int Count => (int)(Next - First);

    /// <summary>Payload bytes in flight: neither acknowledged, nor reported, nor deemed lost.</summary>
    public long BytesInFlight { get; private set; }

    /// <summary>Segments deemed lost that wait for their retransmission.</summary>
    public int LostCount { get; private set; }

    /// <summary>Bytes deemed lost since the start; what was deemed so by mistake included.</summary>
    public long LostBytes { get; private set; }

    /// <summary>Segments deemed lost since the start.</summary>
    public long LostSegments { get; private set; }

    /// <summary>Segments reported as received behind a hole.</summary>
    public int SackedCount { get; private set; }

    /// <summary>Segment in flight that was sent first; -1 for none.</summary>
    public long Earliest { get; private set; } = -1;

    /// <summary>Segment in flight that was sent last; -1 for none.</summary>
    public long Latest { get; private set; } = -1;

    /// <summary>The record of a segment with a number in First..Next-1.</summary>
    public ref SegmentRecord this[long number] => ref _ring[(int)(number & _mask)];

    /// <summary>Appends a segment sent for the first time.</summary>
    public void Add(long start, int length, Instant now)
    {
        if (Count == Capacity)
        {
            Grow();
        }
        long number = Next++;
        ref SegmentRecord record = ref this[number];
        record = new SegmentRecord { Start = start, Length = length, SentAt = now, Transmissions = 1 };
        Link(number, ref record);
    }

    /// <summary>Notes another transmission of a segment.</summary>
    public void Resend(long number, Instant now)
    {
        ref SegmentRecord record = ref this[number];
        Unlink(ref record);
        ClearLost(ref record);
        record.SentAt = now;
        if (record.Transmissions < ushort.MaxValue)
        {
            record.Transmissions++;
        }
        Link(number, ref record);
    }

    /// <summary>Deems a segment lost.</summary>
    public void MarkLost(long number)
    {
        ref SegmentRecord record = ref this[number];
        Unlink(ref record);
        if (!record.Lost && !record.Sacked)
        {
            record.Lost = true;
            LostCount++;
            LostBytes += record.Length;
            LostSegments++;
            _retransmitHint = LostCount == 1 ? number : Math.Min(_retransmitHint, number);
        }
    }

    /// <summary>Puts all segments that are deemed lost and were not repeated back in flight: it was a mistake.</summary>
    public void RestoreLost()
    {
        for (long number = First; number < Next && LostCount > 0; number++)
        {
            ref SegmentRecord record = ref this[number];
            if (record.Lost)
            {
                ClearLost(ref record);
                LinkByTime(number, ref record);
            }
        }
    }

    /// <summary>Notes that the peer reported a segment.</summary>
    public void MarkSacked(long number)
    {
        ref SegmentRecord record = ref this[number];
        Unlink(ref record);
        ClearLost(ref record);
        if (!record.Sacked)
        {
            record.Sacked = true;
            SackedCount++;
        }
    }

    /// <summary>Forgets all reports: the peer seems to have dropped what it reported (RFC 2018 section 8).</summary>
    public void ForgetSacked()
    {
        for (long number = First; number < Next; number++)
        {
            ref SegmentRecord record = ref this[number];
            if (record.Sacked)
            {
                record.Sacked = false;
                SackedCount--;
                MarkLost(number);
            }
        }
    }

    /// <summary>Removes the first segment.</summary>
    public void RemoveFirst()
    {
        ref SegmentRecord record = ref this[First];
        Unlink(ref record);
        ClearLost(ref record);
        if (record.Sacked)
        {
            SackedCount--;
        }
        First++;
        _retransmitHint = Math.Max(_retransmitHint, First);
        if (First == Next)
        {
            ReturnRing();
        }
    }

    /// <summary>Cuts acknowledged bytes off the front of the first segment.</summary>
    public void TrimFirst(long start)
    {
        ref SegmentRecord record = ref this[First];
        int cut = (int)(start - record.Start);
        record.Start = start;
        record.Length -= cut;
        if (record.InFlight)
        {
            BytesInFlight -= cut;
        }
    }

    /// <summary>Lowest segment deemed lost; -1 for none.</summary>
    public long FirstLost()
    {
        if (LostCount == 0)
        {
            return -1;
        }
        while (!this[_retransmitHint].Lost)
        {
            _retransmitHint++;
        }
        return _retransmitHint;
    }

    /// <summary>Number of the segment that contains <paramref name="offset"/>, or of the first one behind it; Next when there is none.</summary>
    public long Find(long offset)
    {
        long low = First;
        long high = Next;
        while (low < high)
        {
            long middle = (low + high) >> 1;
            if (this[middle].End <= offset)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }
        return low;
    }

    /// <summary>Cuts segments longer than <paramref name="length"/> into pieces, for a path that no longer carries them. Only for peers that trim.</summary>
    public void Split(int length)
    {
        List<SegmentRecord> pieces = [];
        for (long number = First; number < Next; number++)
        {
            SegmentRecord record = this[number];
            long end = record.End;
            for (long start = record.Start; start < end; start += length)
            {
                record.Start = start;
                record.Length = (int)Math.Min(length, end - start);
                pieces.Add(record);
            }
        }
        Clear();
        List<long> flying = [];
        foreach (SegmentRecord piece in pieces)
        {
            if (Count == Capacity)
            {
                Grow();
            }
            long number = Next++;
            this[number] = piece with { InFlight = false };
            LostCount += piece.Lost ? 1 : 0;
            SackedCount += piece.Sacked ? 1 : 0;
            if (piece.InFlight)
            {
                flying.Add(number);
            }
        }
        flying.Sort((a, b) => this[a].SentAt == this[b].SentAt ? a.CompareTo(b) : this[a].SentAt.CompareTo(this[b].SentAt));
        foreach (long number in flying)
        {
            Link(number, ref this[number]);
        }
    }

    /// <summary>Forgets all segments.</summary>
    public void Clear()
    {
        First = Next;
        _retransmitHint = First;
        Earliest = Latest = -1;
        BytesInFlight = 0;
        LostCount = SackedCount = 0;
        ReturnRing();
    }

    private int Capacity => _ring.Length;

    private void Link(long number, ref SegmentRecord record)
    {
        record.InFlight = true;
        record.Earlier = Latest;
        record.Later = -1;
        if (Latest >= 0)
        {
            this[Latest].Later = number;
        }
        else
        {
            Earliest = number;
        }
        Latest = number;
        BytesInFlight += record.Length;
    }

    // what is put back was sent before most others: the search is short
    private void LinkByTime(long number, ref SegmentRecord record)
    {
        long later = Earliest;
        while (later >= 0 && this[later].SentAt <= record.SentAt)
        {
            later = this[later].Later;
        }
        if (later < 0)
        {
            Link(number, ref record);
            return;
        }
        ref SegmentRecord next = ref this[later];
        record.InFlight = true;
        record.Later = later;
        record.Earlier = next.Earlier;
        if (next.Earlier >= 0)
        {
            this[next.Earlier].Later = number;
        }
        else
        {
            Earliest = number;
        }
        next.Earlier = number;
        BytesInFlight += record.Length;
    }

    private void Unlink(ref SegmentRecord record)
    {
        if (!record.InFlight)
        {
            return;
        }
        if (record.Earlier >= 0)
        {
            this[record.Earlier].Later = record.Later;
        }
        else
        {
            Earliest = record.Later;
        }
        if (record.Later >= 0)
        {
            this[record.Later].Earlier = record.Earlier;
        }
        else
        {
            Latest = record.Earlier;
        }
        record.InFlight = false;
        BytesInFlight -= record.Length;
    }

    private void ClearLost(ref SegmentRecord record)
    {
        if (record.Lost)
        {
            record.Lost = false;
            LostCount--;
        }
    }

    private void Grow()
    {
        SegmentRecord[] larger = pool.Rings.Rent(Math.Max(SmallestRing, Capacity * 2));
        int largerMask = larger.Length - 1;
        for (long number = First; number < Next; number++)
        {
            larger[(int)(number & largerMask)] = this[number];
        }
        if (_ring.Length > 0)
        {
            pool.Rings.Return(_ring);
        }
        _ring = larger;
        _mask = largerMask;
    }

    private void ReturnRing()
    {
        if (_ring.Length > 0)
        {
            pool.Rings.Return(_ring);
            _ring = [];
            _mask = 0;
        }
    }
}
