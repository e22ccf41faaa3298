import { computed, ref } from 'vue'
import type { Zone } from './time'

const zone = ref<Zone>((localStorage.getItem('crs-zone') as Zone | null) ?? 'browser')
/** Of the operator's zone; answers that carry it set it. */
const offset = ref(0)

/** The one switch for all moments on screen. */
export const useZone = () => ({
  zone: computed(() => zone.value),
  utcOffsetMinutes: computed(() => offset.value),
  setZone(value: Zone) {
    zone.value = value
    localStorage.setItem('crs-zone', value)
  },
  setOperatorOffset: (minutes: number) => void (offset.value = minutes),
})
