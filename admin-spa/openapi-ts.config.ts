import { defineConfig } from '@hey-api/openapi-ts'

export default defineConfig({
  input: '../assets/openapi.json',
  output: { path: process.env.CRS_API_OUT ?? 'src/api/generated', clean: true },
  plugins: [
    { name: '@hey-api/client-fetch', runtimeConfigPath: './src/api/client', throwOnError: true },
    { name: '@hey-api/typescript', enums: false },
    { name: '@hey-api/sdk', responseStyle: 'data' },
  ],
})
